"""Who may call, through the real port: tokens, certificates, roles, and runs that are somebody else's."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import jwt
import pytest
from authority import Authority, Issuer, ec_key, public_pem, rsa_key, usual
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from serving import Refusal, Server, messages, refused

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.validation_service_pb2_grpc import ValidationServiceStub
from facnet_grpc.model.log_entry import LogLevel
from facnet_grpc.server.paging import NUMBER, Page

pytestmark = pytest.mark.system

Code = grpc.StatusCode


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path)


@pytest.fixture
def guarded(make_server: Callable[..., Server], issuer: Issuer) -> Server:
    """A server that takes tokens of the issuer."""
    return make_server(**issuer.settings)


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def look(server: Server, metadata: Any = ()) -> Any:
    return server.stub.ListValidations(pb.ListValidationsRequest(), metadata=metadata, timeout=10)


def send(server: Server, token: str, data: bytes = b"some,claims\n1,2\n", **header: Any) -> UUID:
    answer = server.stub.SubmitValidation(messages(data, **header), metadata=bearing(token), timeout=10)
    return UUID(answer.validation_id)


@pytest.mark.parametrize("key", ["rsa-1", "ec-1"])
def test_a_good_token_is_taken(guarded: Server, issuer: Issuer, key: str) -> None:
    token = issuer.token("clinic", key=key)
    run_id = send(guarded, token)
    assert [run.validation_id for run in look(guarded, bearing(token)).validations] == [str(run_id)]
    assert not look(guarded, bearing(issuer.token("other", key=key))).validations


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join(parts)


def forged(key: bytes, algorithm: str = "HS256", kid: str = "rsa-1") -> str:
    signed = unsigned({"alg": algorithm, "kid": kid, "typ": "JWT"}, usual())
    mac = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def tampered(token: str) -> str:
    header, _, signature = token.split(".")
    return ".".join([header, unsigned(usual("other", "admin"), {}).split(".")[0], signature])


BAD_TOKENS: dict[str, tuple[Callable[[Issuer], str], str]] = {
    "expired": (lambda i: i.token(exp=int(time.time()) - 60), "expired"),
    "no expiry": (lambda i: i.token(exp=None), "claims"),
    "not yet": (lambda i: i.token(nbf=int(time.time()) + 120), "not_yet"),
    "another audience": (lambda i: i.token(aud="another"), "audience"),
    "no audience": (lambda i: i.token(aud=None), "claims"),
    "another issuer": (lambda i: i.token(iss="https://evil.example"), "issuer"),
    "no subject": (lambda i: i.token(sub=None), "claims"),
    "no owner": (lambda i: i.token(tenant=None), "claims"),
    "an owner that is no text": (lambda i: i.token(tenant=["a"]), "claims"),
    "an owner with a line break": (lambda i: i.token(tenant="a\nb"), "claims"),
    "an expiry that is no number": (lambda i: i.token(exp="soon"), "malformed"),
    "alg none": (lambda _: f"{unsigned({'alg': 'none', 'kid': 'rsa-1'}, usual())}.", "algorithm"),
    "alg None": (lambda _: f"{unsigned({'alg': 'None', 'kid': 'rsa-1'}, usual())}.", "algorithm"),
    "no alg": (lambda _: f"{unsigned({'kid': 'rsa-1'}, usual())}.", "algorithm"),
    "alg that is a list": (lambda _: f"{unsigned({'alg': ['RS256'], 'kid': 'rsa-1'}, usual())}.x", "malformed"),
    "HMAC with the public key": (lambda _: forged(public_pem(rsa_key("one"))), "algorithm"),
    "HMAC that says RS256": (lambda _: forged(public_pem(rsa_key("one")), "RS256"), "signature"),
    "the key of another kind": (lambda i: i.token(key="ec-1", kid="rsa-1"), "algorithm"),
    "an unknown kid": (lambda i: i.token(kid="unknown"), "key"),
    "an empty kid": (lambda _: jwt.encode(usual(), rsa_key("one"), "RS256", headers={"kid": ""}), "key"),
    "no kid": (lambda _: jwt.encode(usual(), rsa_key("one"), "RS256"), "key"),
    "kid that is a path": (lambda i: i.token(kid="../../etc/passwd"), "key"),
    "another signer": (lambda _: jwt.encode(usual(), rsa_key("evil"), "RS256", headers={"kid": "rsa-1"}), "signature"),
    "another EC signer": (lambda _: jwt.encode(usual(), ec_key("evil"), "ES256", headers={"kid": "ec-1"}), "signature"),
    "a key in the header": (
        lambda _: jwt.encode(usual(), rsa_key("evil"), "RS256", headers={"jwk": {"kty": "RSA"}, "jku": "http://x"}),
        "key",
    ),
    "RS512": (lambda _: jwt.encode(usual(), rsa_key("one"), "RS512", headers={"kid": "rsa-1"}), "algorithm"),
    "PS256": (lambda _: jwt.encode(usual(), rsa_key("one"), "PS256", headers={"kid": "rsa-1"}), "algorithm"),
    "other claims under the signature": (lambda i: tampered(i.token()), "signature"),
    "no JWT": (lambda _: "password", "malformed"),
    "dots": (lambda _: "..", "malformed"),
    "too long": (lambda _: "x" * 9000, "malformed"),
}


def test_bad_tokens_are_refused_and_say_why(guarded: Server, issuer: Issuer) -> None:
    send(guarded, issuer.token("a"))
    found = {}
    for name, (make, _) in BAD_TOKENS.items():
        token = make(issuer)
        refusal = refused(lambda token=token: look(guarded, bearing(token)))
        found[name] = (refusal.code, refusal.params["why"])
        assert token not in f"{refusal.message}{refusal.details}{refusal.trailers}"
    assert found == {name: (Code.UNAUTHENTICATED, why) for name, (_, why) in BAD_TOKENS.items()}
    assert look(guarded, bearing(issuer.token("a"))).validations, "and the server goes on"


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Basic dXNlcjpwYXNz"),),
        (("authorization", "Bearer"),),
        (("authorization", "Bearer "),),
        (("authorization", ""),),
        (("x-authorization", "Bearer x"),),
    ],
)
def test_without_a_token_nothing_is_served(guarded: Server, metadata: Any) -> None:
    refusal = refused(lambda: look(guarded, metadata))
    assert (refusal.code, refusal.reason) == (Code.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert refusal.texts[0].locale == "fr-CA"


def test_two_tokens_are_none(guarded: Server, issuer: Issuer) -> None:
    both = bearing(issuer.token("a")) + bearing(issuer.token("b"))
    assert refused(lambda: look(guarded, both)).params["why"] == "malformed"


def test_an_upload_without_a_token_stores_nothing(guarded: Server) -> None:
    refusal = refused(lambda: guarded.stub.SubmitValidation(messages(b"x" * 5000), timeout=10))
    assert refusal.code is Code.UNAUTHENTICATED
    assert not list(guarded.blobs.parts())
    assert not list(guarded.blobs.blobs())


def test_a_new_key_of_the_issuer_is_found(guarded: Server, issuer: Issuer) -> None:
    look(guarded, bearing(issuer.token()))
    issuer.keys["rsa-2"] = rsa_key("two")
    token = issuer.token(key="rsa-2")
    assert refused(lambda: look(guarded, bearing(token))).params["why"] == "key"
    issuer.publish()
    time.sleep(issuer.settings["jwt_keys_pause_seconds"])
    look(guarded, bearing(token))
    issuer.path.unlink()
    look(guarded, bearing(token))


def test_while_the_keys_cannot_be_had_callers_may_try_again(make_server: Callable[..., Server], issuer: Issuer) -> None:
    issuer.path.unlink()
    server = make_server(**issuer.settings)
    refusal = refused(lambda: look(server, bearing(issuer.token())))
    assert (refusal.code, refusal.reason) == (Code.UNAVAILABLE, "BACKEND_UNAVAILABLE")


def test_claims_may_have_other_names_and_be_nested(make_server: Callable[..., Server], issuer: Issuer) -> None:
    names = {"jwt_owner_claim": "https://example/owner", "jwt_roles_claim": "realm.roles"}
    server = make_server(**issuer.settings, **names)
    claims = {"https://example/owner": "clinic", "realm": {"roles": "editor other"}, "tenant": None, "roles": None}
    send(server, issuer.token(**claims))
    assert refused(lambda: send(server, issuer.token("x", "admin", realm=None))).params["why"] == "claims"


ROLES: dict[str, tuple[Code | None, Code | None, Code | None]] = {
    "viewer": (None, Code.PERMISSION_DENIED, Code.PERMISSION_DENIED),
    "editor": (None, None, Code.PERMISSION_DENIED),
    "admin": (None, None, None),
    "owner": (Code.PERMISSION_DENIED, Code.PERMISSION_DENIED, Code.PERMISSION_DENIED),
    "Admin": (Code.PERMISSION_DENIED, Code.PERMISSION_DENIED, Code.PERMISSION_DENIED),
}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_do_what_it_may(guarded: Server, issuer: Issuer, role: str) -> None:
    token = issuer.token("a", role)
    channelz = channelz_pb2_grpc.ChannelzStub(guarded.channel)
    calls: list[Callable[[], Any]] = [
        lambda: look(guarded, bearing(token)),
        lambda: send(guarded, token),
        lambda: channelz.GetServers(channelz_pb2.GetServersRequest(), metadata=bearing(token), timeout=10),
    ]
    assert tuple(code(call) for call in calls) == ROLES[role]


def code(call: Callable[[], Any]) -> Code | None:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return None


def by_id(server: Server, run_id: str, token: str) -> dict[str, Refusal]:
    """Make every call that names a run; all must fail."""
    stub, metadata = server.stub, bearing(token)
    requests: dict[str, Any] = {
        "GetValidation": pb.GetValidationRequest(validation_id=run_id),
        "GetValidationSummary": pb.GetValidationSummaryRequest(validation_id=run_id),
        "ListValidationResults": pb.ListValidationResultsRequest(validation_id=run_id),
        "ListRejectedRows": pb.ListRejectedRowsRequest(validation_id=run_id),
        "ListBillingRecords": pb.ListBillingRecordsRequest(validation_id=run_id),
        "ListValidationLogs": pb.ListValidationLogsRequest(validation_id=run_id),
        "CancelValidation": pb.CancelValidationRequest(validation_id=run_id),
        "RetryValidation": pb.RetryValidationRequest(validation_id=run_id),
        "DeleteValidation": pb.DeleteValidationRequest(validation_id=run_id),
    }
    found = {
        name: refused(lambda name=name, request=request: getattr(stub, name)(request, metadata=metadata, timeout=10))
        for name, request in requests.items()
    }
    streams: dict[str, Any] = {
        "WatchValidation": pb.WatchValidationRequest(validation_id=run_id),
        "ExportValidation": pb.ExportValidationRequest(validation_id=run_id, content=1, format=1),
    }
    for name, request in streams.items():
        method = getattr(stub, name)
        found[name] = refused(lambda m=method, r=request: list(m(r, metadata=metadata, timeout=10)))
    return found


def test_an_id_that_is_stolen_is_as_good_as_one_that_is_made_up(guarded: Server, issuer: Issuer) -> None:
    stolen, thief = str(send(guarded, issuer.token("victim"))), issuer.token("thief")
    made_up = str(uuid4())
    for name, refusal in by_id(guarded, stolen, thief).items():
        other = by_id(guarded, made_up, thief)[name]
        assert (name, refusal.code, refusal.reason) == (name, Code.NOT_FOUND, "VALIDATION_NOT_FOUND")
        assert refusal.message == other.message
        assert str(refusal.texts) == str(other.texts)
        assert set(refusal.params) == set(other.params)
    assert look(guarded, bearing(issuer.token("victim"))).validations


def test_ids_cannot_be_guessed(guarded: Server, issuer: Issuer) -> None:
    near = send(guarded, issuer.token("victim"))
    for number in range(1, 30):
        guess = str(UUID(int=near.int + (number if number % 2 else -number)))
        request = pb.GetValidationRequest(validation_id=guess)
        guess_refused = refused(
            lambda r=request: guarded.stub.GetValidation(r, metadata=bearing(issuer.token("thief")))
        )
        assert guess_refused.code is Code.NOT_FOUND


def test_what_was_made_for_another_owner_is_of_no_use(guarded: Server, issuer: Issuer) -> None:
    victim, thief = issuer.token("victim"), issuer.token("thief")
    upload_id = str(uuid4())
    run_id = send(guarded, victim, b"one,two\n1,2\n", upload_id=upload_id, idempotency_key="key", batch_id="batch")
    send(guarded, victim)
    stub, steal = guarded.stub, bearing(thief)

    page = stub.ListValidations(pb.ListValidationsRequest(page_size=1), metadata=bearing(victim)).next_page_token
    listing = pb.ListValidationsRequest(page_size=1, page_token=page)
    assert refused(lambda: stub.ListValidations(listing, metadata=steal)).reason == "BAD_PAGE_TOKEN"

    first = next(
        iter(stub.WatchValidation(pb.WatchValidationRequest(validation_id=str(run_id)), metadata=bearing(victim)))
    )
    watching = pb.WatchValidationRequest(validation_id=str(run_id), after_cursor=first.cursor)
    assert refused(lambda: list(stub.WatchValidation(watching, metadata=steal))).code is Code.NOT_FOUND

    upload = pb.GetUploadRequest(upload_id=upload_id)
    assert refused(lambda: stub.GetUpload(upload, metadata=steal)).reason == "UPLOAD_NOT_FOUND"
    taken = refused(lambda: send(guarded, thief, b"x" * 100, upload_id=upload_id))
    assert (taken.code, taken.reason) == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND")
    chunk = pb.UploadChunkRequest(header=pb.UploadHeader(upload_id=upload_id, file_name="x.csv"), finish=True)
    assert refused(lambda: stub.UploadChunk(chunk, metadata=steal)).reason == "UPLOAD_NOT_FOUND"

    # A page token of a list within a run, as the server makes it: of no use for the thief's own run.
    own = str(send(guarded, thief, b"third,file\n"))
    forged = Page(pb.ListValidationLogsRequest(), ("logs", run_id, LogLevel.DEBUG, None), NUMBER).token(0)
    for token in (forged, page):
        listing_logs = pb.ListValidationLogsRequest(validation_id=own, page_token=token)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListValidationLogs(listing_logs, metadata=steal, timeout=10)
        assert Refusal(caught.value).reason == "BAD_PAGE_TOKEN"

    assert send(guarded, thief, b"other,file\n", idempotency_key="key") != run_id
    batch = pb.ListValidationsRequest(batch_id="batch")
    assert not stub.ListValidations(batch, metadata=steal).validations
    assert len(stub.ListValidations(batch, metadata=bearing(victim)).validations) == 1
    assert refused(lambda: stub.GetBatch(pb.GetBatchRequest(batch_id="batch"), metadata=steal)).code is Code.NOT_FOUND
    following = pb.WatchValidationRequest(batch_id="batch")
    assert refused(lambda: list(stub.WatchValidation(following, metadata=steal, timeout=20))).code is Code.NOT_FOUND


def test_admins_reach_runs_of_all_owners_and_list_their_own(guarded: Server, issuer: Issuer) -> None:
    run_id, admin = str(send(guarded, issuer.token("a"))), issuer.token("operations", "admin")
    stub, metadata = guarded.stub, bearing(admin)
    assert stub.GetValidation(pb.GetValidationRequest(validation_id=run_id), metadata=metadata).validation.validation_id
    stub.CancelValidation(pb.CancelValidationRequest(validation_id=run_id), metadata=metadata)
    assert not look(guarded, metadata).validations
    stub.DeleteValidation(pb.DeleteValidationRequest(validation_id=run_id), metadata=metadata)
    assert not look(guarded, bearing(issuer.token("a"))).validations


def test_tokens_for_development(make_server: Callable[..., Server]) -> None:
    server = make_server(dev_tokens="one=clinic/editor, two=clinic/viewer/phi:read")
    send(server, "one")
    assert look(server, bearing("two")).validations
    assert refused(lambda: look(server, bearing("three"))).params["why"] == "token"
    assert refused(lambda: look(server)).code is Code.UNAUTHENTICATED


SUBJECTS = """
["CN=batch"]
owner = "clinic"
roles = ["editor"]

["URI:spiffe://example/viewer"]
owner = "clinic"
roles = ["viewer"]
"""


def test_client_certificates_are_callers(make_server: Callable[..., Server], tmp_path: Path, issuer: Issuer) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    subjects = tmp_path / "subjects.toml"
    subjects.write_text(SUBJECTS)
    tls = {"tls_cert": cert, "tls_key": key, "tls_client_ca": authority.ca, "mtls_subjects": subjects}
    server = make_server(**tls, **issuer.settings)

    def stub(name: str, **more: Any) -> ValidationServiceStub:
        files = authority.issue(name, **more)
        credentials = grpc.ssl_channel_credentials(
            authority.ca.read_bytes(), files[1].read_bytes(), files[0].read_bytes()
        )
        return ValidationServiceStub(grpc.secure_channel(server.target, credentials))

    batch, viewer, stranger = stub("batch"), stub("x", uri="spiffe://example/viewer"), stub("stranger")
    batch.SubmitValidation(messages(b"a,b\n1,2\n"), timeout=10)
    assert viewer.ListValidations(pb.ListValidationsRequest(), timeout=10).validations
    assert refused(lambda: viewer.SubmitValidation(messages(b"a"), timeout=10)).code is Code.PERMISSION_DENIED
    refusal = refused(lambda: stranger.ListValidations(pb.ListValidationsRequest(), timeout=10))
    assert (refusal.code, refusal.params["why"]) == (Code.UNAUTHENTICATED, "certificate")
    # A token says more than the certificate of the machine that it comes from.
    token = bearing(issuer.token("somebody-else"))
    assert not batch.ListValidations(pb.ListValidationsRequest(), metadata=token, timeout=10).validations
    # Who is taken off the list is nobody from the next call on.
    subjects.write_text(SUBJECTS.replace("CN=batch", "CN=other"))
    assert (
        refused(lambda: batch.ListValidations(pb.ListValidationsRequest(), timeout=10)).params["why"] == "certificate"
    )
