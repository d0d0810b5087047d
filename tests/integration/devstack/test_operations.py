"""The doctor on keys, disk, clock, workers and certificates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from facnet_grpc.devstack import operations
from facnet_grpc.settings import Settings


@pytest.fixture
def settings(clean_postgres_url, tmp_path):
    def make(**changes):
        usual = {"pseudonym_key": "x" * 32, "blob_key": f"now:{'b' * 32}", "redis_url": "x", "blob_dir": tmp_path}
        return Settings(database_url=clean_postgres_url, **usual | changes)

    return make


def codes(settings):
    return {finding.name: finding.code for finding in operations.examine(settings)}


def test_nothing_is_wrong_but_that_nobody_works(settings):
    assert codes(settings()) == {
        "disk": "disk_ok",
        "access": "access_open",
        "keys": "keys_ok",
        "clock": "clock_ok",
        "worker": "worker_away",
    }


def test_a_worker_is_seen(settings, clean_postgres_url):
    with psycopg.connect(clean_postgres_url, application_name="facnet-worker"):
        assert codes(settings())["worker"] == "worker_ok"


def test_a_key_that_is_gone_is_named(settings, database):
    with database.connection() as conn:
        conn.execute("INSERT INTO data_keys VALUES (%s, NULL, 'old', '')", (uuid4(),))
    (finding,) = [one for one in operations.examine(settings()) if one.name == "keys"]
    assert (finding.code, finding.value) == ("keys_unknown", "old")
    assert codes(settings(blob_key=f"now:{'b' * 32},old:{'o' * 32}"))["keys"] == "keys_ok"


def test_no_key_at_all_is_said(settings):
    assert codes(settings(blob_key=None))["keys"] == "keys_missing"


def test_a_full_disk_and_a_wrong_clock_are_said(settings, monkeypatch):
    monkeypatch.setattr(operations, "MIN_FREE_BYTES", 1 << 60)
    monkeypatch.setattr(operations.queue, "clock", lambda _: datetime.now(UTC) + timedelta(minutes=1))
    found = codes(settings())
    assert (found["disk"], found["clock"]) == ("disk_full", "clock_skewed")


def test_without_postgres_the_rest_is_still_examined(settings, tmp_path):
    away = settings().model_copy(update={"database_url": type(settings().database_url)("postgresql://127.0.0.1:1/x")})
    assert set(codes(away)) == {"disk", "access"}


@pytest.fixture
def certificate(tmp_path):
    def make(days):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "facnet.test")])
        now = datetime.now(UTC)
        built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - timedelta(days=90)).not_valid_after(now + timedelta(days=days))
        (tmp_path / "cert.pem").write_bytes(built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "key.pem").write_bytes(private)
        return {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}

    return make


@pytest.mark.parametrize(("days", "code"), [(60, "access_open"), (3, "access_soon"), (-3, "access_expired")])
def test_a_certificate_that_ends_is_said_in_time(settings, certificate, days, code):
    assert operations.check_access(settings(**certificate(days))).code == code


def test_certificates_that_cannot_be_used_are_said(settings, certificate, tmp_path):
    told = certificate(60)
    other = (tmp_path / "key.pem").read_bytes()
    certificate(60)
    (tmp_path / "key.pem").write_bytes(other)
    assert operations.check_access(settings(**told)).code == "access_mismatch"
    (tmp_path / "key.pem").write_text("nothing")
    assert operations.check_access(settings(**told)).code == "access_unreadable"


def test_who_may_call_is_said(settings):
    jwt = {"jwt_issuer": "i", "jwt_audience": "a", "jwt_jwks_url": "https://issuer.test/keys"}
    finding = operations.check_access(settings(**jwt, tls_elsewhere=True))
    assert (finding.ok, finding.value) == (True, "JWT, proxy")
