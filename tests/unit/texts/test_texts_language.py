import pytest

from facnet_grpc.texts.language import Locale, pick


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Locale.FR),
        ("", Locale.FR),
        ("en", Locale.EN),
        ("EN-us", Locale.EN),
        ("en_CA", Locale.EN),
        ("fr-CA,fr;q=0.9,en;q=0.8", Locale.FR),
        ("en;q=0.8, fr;q=0.7", Locale.EN),
        ("fr;q=0.5, en", Locale.EN),
        ("de, en;q=0.1", Locale.EN),
        ("de", Locale.FR),
        ("*", Locale.FR),
        ("en;q=0", Locale.FR),
        ("en;q=abc", Locale.FR),
        ("en;q=nan", Locale.FR),
        ("en;q=9", Locale.FR),
        (";;;,,,=", Locale.FR),
        ("english", Locale.FR),
        ("x," * 100_000 + "en", Locale.FR),
    ],
)
def test_pick(header, expected):
    assert pick(header) is expected


def test_tags():
    assert [locale.tag for locale in Locale] == ["fr-CA", "en-CA"]
