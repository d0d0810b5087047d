"""An issuer of tokens and a certificate authority, both invented, for the tests of who may call."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

ISSUER, AUDIENCE = "https://issuer.example", "facnet"
PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


@cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


class Issuer:
    """Signs tokens; its keys are in a file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jwks.json"
        self.keys: dict[str, Any] = {"rsa-1": rsa_key("one"), "ec-1": ec_key("one")}
        self.publish()

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "jwt_jwks_url": self.path.as_uri(),
            "jwt_keys_pause_seconds": 0.05,
        }

    def publish(self) -> None:
        self.path.write_text(json.dumps({"keys": [public(name, key) for name, key in self.keys.items()]}))

    def token(self, owner: str = "a", *roles: str, key: str = "rsa-1", kid: str | None = None, **claims: Any) -> str:
        payload = {**usual(owner, *roles), **claims}
        payload = {name: value for name, value in payload.items() if value is not None}
        signer = self.keys[key]
        algorithm = "RS256" if isinstance(signer, rsa.RSAPrivateKey) else "ES256"
        return jwt.encode(payload, signer, algorithm, headers={"kid": kid or key})


def usual(owner: str = "a", *roles: str) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": f"somebody-of-{owner}",
        "exp": int(time.time()) + 300,
        "tenant": owner,
        "roles": list(roles or ("editor",)),
    }


def public(name: str, key: Any) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig"}


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


class Authority:
    """Signs certificates, and writes them where a server or a client finds them."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        self.ca = folder / f"{name}.pem"
        certificate = self._build(self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        self.ca.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(PEM))

    def issue(self, name: str, *, uri: str | None = None, file: str | None = None) -> tuple[Path, Path]:
        """Write a certificate and its key, perhaps in the place of others; return their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        others: list[x509.GeneralName] = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            *([x509.UniformResourceIdentifier(uri)] if uri else []),
        ]
        builder = self._build(_name(name), key).add_extension(x509.SubjectAlternativeName(others), False)
        cert_path, key_path = self.folder / f"{file or name}.crt", self.folder / f"{file or name}.key"
        key_path.write_bytes(key.private_bytes(PEM, PKCS8, serialization.NoEncryption()))
        cert_path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(PEM))
        return cert_path, key_path

    def _build(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
