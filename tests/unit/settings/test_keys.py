"""Keys as people write them."""

import pytest

from facnet_grpc.settings.keys import BadKeys, Key, Keys

LONG = "s" * 32


def test_a_secret_alone_is_named_after_its_fingerprint():
    first, second = Key.parse(LONG), Key.parse("t" * 32)
    assert first.secret == LONG.encode()
    assert first.id != second.id
    assert Key.parse(LONG).id == first.id


def test_a_secret_may_be_a_sentence():
    secret = "A long sentence, with a comma: and more"
    assert Keys.parse(secret).current.secret == secret.encode()


@pytest.mark.parametrize("text", [f"b:{LONG},a:{LONG}x", f"b:{LONG}\na:{LONG}x\n", f" b:{LONG}, a:{LONG}x "])
def test_the_first_is_the_current_one(text):
    keys = Keys.parse(text)
    assert [key.id for key in keys.all] == ["b", "a"]
    assert keys.current.id == "b"
    assert keys.all[1].secret == f"{LONG}x".encode()


@pytest.mark.parametrize("text", ["", "  \n", "short", "a:short", f"a:{LONG},a:{LONG}x", f"{LONG}\n{LONG}"])
def test_what_cannot_be_used_is_refused_without_being_quoted(text):
    with pytest.raises(BadKeys) as caught:
        Keys.parse(text)
    assert LONG not in str(caught.value)
    assert "short" not in str(caught.value)


def test_nothing_shows_a_secret():
    assert LONG not in repr(Keys.parse(f"a:{LONG}"))
