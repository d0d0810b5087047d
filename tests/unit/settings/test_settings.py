import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from facnet_grpc.settings import Settings, groups
from facnet_grpc.settings.environment import GIB, SettingsError, variable

SECRET = "a canary of a password, long enough"
NEEDED = {
    "DATABASE_URL": f"postgresql://u:{SECRET}@h/d",
    "REDIS_URL": "redis://localhost",
    "FACNET_BLOB_DIR": "/srv/blobs",
    "FACNET_PSEUDONYM_KEY": SECRET,
    "FACNET_BLOB_KEY": SECRET,
}


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in os.environ:
        if name.startswith("FACNET_") or name in NEEDED:
            monkeypatch.delenv(name)


@pytest.fixture(name="environ")
def _environ(monkeypatch):
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch.setenv


@pytest.mark.usefixtures("environ")
def test_four_settings_are_enough():
    settings = Settings.from_env()

    assert settings.storage.database_url.get_secret_value() == NEEDED["DATABASE_URL"]
    assert settings.storage.blob_dir == Path("/srv/blobs")
    assert settings.uploads.max_file_bytes == 2 * GIB
    assert settings.access.listen == "127.0.0.1:50051"


def test_all_problems_at_once_and_no_values(environ):
    environ("DATABASE_URL", "")
    for name in ("REDIS_URL", "FACNET_BLOB_DIR"):
        os.environ.pop(name)
    environ("FACNET_PSEUDONYM_KEY", "canary")
    environ("FACNET_MAX_ATTEMPTS", "canary")
    environ("FACNET_LOG_LEVEL", "canary")

    with pytest.raises(SettingsError) as caught:
        Settings.from_env()

    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "REDIS_URL",
        "FACNET_BLOB_DIR",
        "FACNET_PSEUDONYM_KEY",
        "FACNET_MAX_ATTEMPTS",
        "FACNET_LOG_LEVEL",
    ]
    assert "is missing" in lines[0]
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:50051", "[::1]:50051", "127.9.9.9:1"])
def test_loopback_addresses(environ, address):
    environ("FACNET_LISTEN", address)

    assert Settings.from_env().access.listen == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "example.org:1", "127.0.0.1", ":5", "[::1]"]
)
def test_without_authentication_nobody_else_can_listen(environ, address):
    environ("FACNET_LISTEN", address)

    with pytest.raises(SettingsError, match="FACNET_LISTEN"):
        Settings.from_env()


TLS = {"FACNET_TLS_CERT": "/c", "FACNET_TLS_KEY": "/k"}
JWT = {
    "FACNET_JWT_ISSUER": "https://i",
    "FACNET_JWT_AUDIENCE": "facnet",
    "FACNET_JWT_JWKS_URL": "https://i/keys",
}
MTLS = {"FACNET_TLS_CLIENT_CA": "/ca", "FACNET_MTLS_SUBJECTS": "/s"}
EXPOSED = {"FACNET_LISTEN": "0.0.0.0:50051"}


@pytest.mark.parametrize("more", [JWT | TLS, TLS | MTLS, JWT | {"FACNET_TLS_ELSEWHERE": "true"}])
def test_with_authentication_and_tls_everybody_may_be_listened_to(environ, more):
    for name, value in (EXPOSED | more).items():
        environ(name, value)

    assert Settings.from_env().access.listen == "0.0.0.0:50051"


@pytest.mark.parametrize(
    ("more", "blamed", "why"),
    [
        (EXPOSED, "FACNET_LISTEN", "no authentication"),
        (EXPOSED | TLS, "FACNET_LISTEN", "no authentication"),
        (EXPOSED | {"FACNET_TLS_ELSEWHERE": "true"}, "FACNET_LISTEN", "no authentication"),
        (EXPOSED | JWT, "FACNET_LISTEN", "in the clear"),
        (EXPOSED | JWT | TLS | {"FACNET_DEV_TOKENS": "a=b/viewer"}, "FACNET_LISTEN", "DEV_TOKENS"),
        (EXPOSED | JWT | TLS | {"FACNET_WEBHOOK_LOOPBACK": "true"}, "FACNET_LISTEN", "WEBHOOK_LOOPBACK"),
        ({"FACNET_TLS_CERT": "/c"}, "FACNET_TLS_KEY", "go together"),
        ({"FACNET_TLS_KEY": "/k"}, "FACNET_TLS_KEY", "go together"),
        ({"FACNET_TLS_CLIENT_CA": "/ca"}, "FACNET_TLS_CLIENT_CA", "need TLS"),
        (TLS | {"FACNET_MTLS_SUBJECTS": "/s"}, "FACNET_MTLS_SUBJECTS", "FACNET_TLS_CLIENT_CA"),
        (TLS | {"FACNET_MTLS_LISTEN": "127.0.0.1:1"}, "FACNET_MTLS_LISTEN", "FACNET_TLS_CLIENT_CA"),
        ({"FACNET_JWT_JWKS_URL": "https://i/keys"}, "FACNET_JWT_JWKS_URL", "FACNET_JWT_ISSUER"),
        (JWT | {"FACNET_JWT_JWKS_URL": "http://i/keys"}, "FACNET_JWT_JWKS_URL", "https"),
        (JWT | {"FACNET_JWT_JWKS_URL": "ftp://127.0.0.1/keys"}, "FACNET_JWT_JWKS_URL", "https"),
    ],
)
def test_what_does_not_go_together_is_refused_with_a_sentence(environ, more, blamed, why):
    for name, value in more.items():
        environ(name, value)

    with pytest.raises(SettingsError, match=rf"^{blamed}: .*{why}"):
        Settings.from_env()


@pytest.mark.parametrize("url", ["https://i/keys", "http://127.0.0.1:8080/keys", "http://localhost/k", "file:///k"])
def test_keys_come_from_a_safe_place(environ, url):
    for name, value in (JWT | {"FACNET_JWT_JWKS_URL": url}).items():
        environ(name, value)

    assert Settings.from_env().access.jwt_jwks_url == url


@pytest.mark.parametrize("name", ["MAX_FILE_BYTES", "WORKER_PROCESSES", "LEASE_SECONDS", "IO_THREADS"])
@pytest.mark.parametrize("value", ["0", "-1", "x", ""])
def test_limits_are_positive(environ, name, value):
    environ(f"FACNET_{name}", value)

    with pytest.raises(SettingsError, match=f"FACNET_{name}"):
        Settings.from_env()


@pytest.mark.usefixtures("environ")
def test_secrets_do_not_show():
    settings = Settings.from_env()

    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.usefixtures("environ")
def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError):
        Settings.from_env().access.listen = "x"


@pytest.mark.parametrize(("lease", "beat"), [("30", 1.0), ("1.5", 0.5)])
def test_a_lease_gets_three_chances(environ, lease, beat):
    environ("FACNET_LEASE_SECONDS", lease)

    assert Settings.from_env().queue.lease_beat_seconds == beat


def test_every_setting_has_a_sentence():
    fields = [item for group in groups().values() for item in group.items()]

    assert [name for name, field in fields if not (field.description or "").endswith(".")] == []


def test_names_of_variables():
    assert (variable("database_url"), variable("listen")) == ("DATABASE_URL", "FACNET_LISTEN")
