"""The keys of an issuer: which are taken, how often they are read, what happens while it is away."""

from __future__ import annotations

import asyncio
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from facnet_grpc.errors import TransientError
from facnet_grpc.server.access import jwks
from facnet_grpc.server.access.jwks import KeySet, parse

EC_KEY = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)


def document(*names, **changes):
    return json.dumps({"keys": [{**EC_KEY, "kid": name, **changes} for name in names]}).encode()


class World:
    """An issuer, and a clock."""

    def __init__(self):
        self.now = 0.0
        self.says = document("one")
        self.asked = 0

    def fetch(self, _url):
        self.asked += 1
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def keys(self):
        return KeySet("x", max_age_seconds=100, pause_seconds=10, fetch=self.fetch, clock=lambda: self.now)


def find(key_set, *names):
    async def run():
        return [bool(await key_set.find(name)) for name in names]

    return asyncio.run(run())


@pytest.fixture(name="world")
def _world():
    return World()


def test_keys_are_read_once(world):
    assert find(world.keys(), "one", "one", "one") == [True] * 3
    assert world.asked == 1


def test_made_up_ids_do_not_make_the_server_ask_again_and_again(world):
    key_set = world.keys()
    assert find(key_set, *(f"made-up-{number}" for number in range(100))) == [False] * 100
    assert world.asked == 1
    world.now = 11
    assert find(key_set, "made-up", "another") == [False, False]
    assert world.asked == 2


def test_a_new_key_is_found_after_the_pause_and_an_old_one_forgotten(world):
    key_set = world.keys()
    assert find(key_set, "one") == [True]
    world.says = document("two")
    assert find(key_set, "two") == [False]
    world.now = 11
    assert find(key_set, "two", "one") == [True, False]


def test_old_keys_are_read_again_and_go_on_working_while_the_issuer_is_away(world):
    key_set = world.keys()
    find(key_set, "one")
    world.now, world.says = 101, OSError()
    assert find(key_set, "one") == [True]
    assert world.asked == 2
    world.now, world.says = 112, document()
    assert find(key_set, "one") == [False]


@pytest.mark.parametrize("trouble", [OSError(), TimeoutError(), b"<html>", b"[]", b'{"keys": 1}', b"\xff"])
def test_without_any_keys_nobody_is_turned_away_for_good(world, trouble):
    world.says = trouble
    key_set = world.keys()
    for _ in range(3):
        with pytest.raises(TransientError):
            find(key_set, "one")
    assert world.asked == 1


def test_many_callers_at_once_ask_once(world):
    key_set = world.keys()

    async def run():
        return await asyncio.gather(*(key_set.find("one") for _ in range(50)))

    assert all(asyncio.run(run()))
    assert world.asked == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"alg": "HS256"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kid": ""},
        {"kid": 7},
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"d": "AAAA"},
    ],
)
def test_keys_of_other_kinds_are_left_out(changes):
    assert parse(document("one", **changes)) == {}


def test_weak_keys_are_left_out():
    weak, strong = (
        jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, bits).public_key(), as_dict=True)
        for bits in (1024, 2048)
    )
    found = parse(json.dumps({"keys": [{**weak, "kid": "weak"}, {**strong, "kid": "strong"}, "nonsense"]}).encode())
    assert list(found) == ["strong"]


def test_files_can_be_read_and_have_a_limit(tmp_path):
    path = tmp_path / "keys"
    path.write_bytes(b"x" * jwks.MAX_BYTES)
    assert len(jwks.fetch(path.as_uri())) == jwks.MAX_BYTES
    path.write_bytes(b"x" * (jwks.MAX_BYTES + 1))
    with pytest.raises(ValueError, match="large"):
        jwks.fetch(path.as_uri())
