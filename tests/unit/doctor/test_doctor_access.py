"""The doctor on who may call: certificates, the issuer's keys, the list of client certificates."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from facnet_grpc.doctor import access
from facnet_grpc.settings import Settings

ISSUER = {"jwt_issuer": "i", "jwt_audience": "a"}
SUBJECT = '["CN=batch"]\nowner = "clinic"\nroles = ["editor"]\n'


def settings(**changes):
    usual = {"database_url": "x", "redis_url": "x", "blob_dir": "/", "pseudonym_key": "x" * 32, "blob_key": "x" * 32}
    return Settings.of(**usual | changes)


def found(**changes):
    """The findings by name: whether it is well, the code, the value."""
    return {one.name: (one.ok, one.code, one.value) for one in access.examine(settings(**changes).access)}


@pytest.fixture
def certificate(tmp_path):
    def make(days=400, encryption=None):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "facnet.test")])
        now = datetime.now(UTC)
        built = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        built = built.not_valid_before(now - timedelta(days=90)).not_valid_after(now + timedelta(days=days))
        (tmp_path / "cert.pem").write_bytes(built.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
        (tmp_path / "key.pem").write_bytes(private)
        return {"tls_cert": tmp_path / "cert.pem", "tls_key": tmp_path / "key.pem"}

    return make


def test_without_anything_that_is_all_there_is_to_say():
    assert found() == {"access": (True, "access_open", "")}


@pytest.mark.parametrize(
    ("days", "ok", "code"), [(31, True, "ok"), (29, False, "soon"), (3, False, "soon"), (-3, False, "expired")]
)
def test_a_certificate_that_ends_is_said_a_month_before(certificate, days, ok, code):
    files = certificate(days)
    day = f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"
    assert found(**files)["certificate"] == (ok, f"certificate_{code}", day)
    same = found(**files, tls_client_ca=files["tls_cert"])["authorities"]
    assert same == (ok, f"authorities_{code}", "1" if ok else day)


def test_a_certificate_that_cannot_be_used_is_said_and_why(certificate, tmp_path):
    files = certificate()
    other = (tmp_path / "key.pem").read_bytes()
    certificate()
    (tmp_path / "key.pem").write_bytes(other)
    assert found(**files)["certificate"][2] == "the private key is not that of the certificate"
    certificate(encryption=BestAvailableEncryption(b"secret"))
    assert found(**files)["certificate"][2] == "the private key is encrypted"
    (tmp_path / "key.pem").write_text("nothing")
    assert found(**files)["certificate"] == (False, "certificate_unusable", "cannot be read")
    (tmp_path / "key.pem").unlink()
    assert found(**files)["certificate"] == (False, "certificate_unusable", "No such file or directory")
    (tmp_path / "ca.pem").write_text("nothing")
    assert found(**files, tls_client_ca=tmp_path / "ca.pem")["authorities"][1] == "authorities_unusable"


def document(*keys):
    return json.dumps({"keys": list(keys)})


def public(key, **more):
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": "1", **more}


GOOD = public(ec.generate_private_key(ec.SECP256R1()))
WEAK = public(rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (document(GOOD, {**GOOD, "kid": "2"}, WEAK), (True, "tokens_ok", 2)),
        (document(WEAK, {**GOOD, "kid": None}, {"kty": "oct", "k": "x", "kid": "3"}), (False, "tokens_unusable", 0)),
        (document(), (False, "tokens_unusable", 0)),
        ("<html>", (False, "tokens_away", "")),
        (None, (False, "tokens_away", "")),
    ],
)
def test_the_keys_of_the_issuer_are_looked_at(tmp_path, text, finding):
    path = tmp_path / "jwks.json"
    if text is not None:
        path.write_text(text)
    findings = found(**ISSUER, jwt_jwks_url=path.as_uri())
    assert (findings["access"], findings["tokens"]) == ((True, "access_ok", "JWT"), finding)


def test_an_issuer_without_keys_has_no_effect_and_that_is_said():
    assert found(**ISSUER)["tokens"] == (False, "tokens_off", "FACNET_JWT_ISSUER, FACNET_JWT_AUDIENCE")
    assert found(dev_tokens="nonsense")["tokens"][1] == "tokens_development"


@pytest.mark.parametrize(
    ("text", "code", "value"),
    [
        (SUBJECT, "ok", 1),
        ("", "none", 0),
        ("[", "unusable", None),
        ('["CN=x"]\nroles = ["editor"]\n', "unusable", "a subject needs an owner and roles, and may have scopes"),
        ('["CN=x"]\nowner = "a"\nroles = ["boss"]\n', "unusable", None),
        (None, "unusable", "No such file or directory"),
    ],
)
def test_the_list_of_clients_is_looked_at(certificate, tmp_path, text, code, value):
    files, path = certificate(), tmp_path / "subjects.toml"
    if text is not None:
        path.write_text(text)
    finding = found(**files, tls_client_ca=files["tls_cert"], mtls_subjects=path)["subjects"]
    assert finding[:2] == (code == "ok", f"subjects_{code}")
    assert value in {None, finding[2]}


def test_who_may_call_is_said(certificate, tmp_path):
    files, path = certificate(), tmp_path / "subjects.toml"
    path.write_text(SUBJECT)
    assert found(**files, tls_client_ca=files["tls_cert"], mtls_subjects=path)["access"][2] == "TLS, mTLS"
