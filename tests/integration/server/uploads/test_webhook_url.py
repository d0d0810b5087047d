"""An upload that names a webhook: refused before its first byte, or kept with the run; cancelled runs owe it too."""

from __future__ import annotations

from uuid import UUID, uuid4

import grpc
import pytest
from serving import Server, Worker, messages, refused, submit

from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb
from facnet_grpc.model.notification import Channel
from facnet_grpc.storage.postgres import outbox

URL = "https://hooks.example.org/facnet?token=s3cret"
WEBHOOKS = {"webhook_keys": "k" * 32, "webhook_hosts": "hooks.example.org"}
MAIL = {"smtp_host": "smtp.example.org", "smtp_from": "facnet@example.org"}
ENGLISH = (("accept-language", "en"),)


@pytest.fixture
def owed(database):
    def read():
        with database.connection() as conn:
            return outbox.claim(conn, lease_seconds=60, limit=9)

    return read


def by_stream(server: Server, url: str):
    return server.stub.SubmitValidation(messages(b"a,b\n", webhook_url=url), timeout=20, metadata=ENGLISH)


def by_chunk(server: Server, url: str):
    header = pb.UploadHeader(file_name="a.csv", upload_id=str(uuid4()), webhook_url=url)
    request = pb.UploadChunkRequest(header=header, chunk=pb.UploadChunk(data=b"a,b\n"), finish=True)
    return server.stub.UploadChunk(request, timeout=20, metadata=ENGLISH)


@pytest.mark.parametrize("send", [by_stream, by_chunk])
@pytest.mark.parametrize(
    ("settings", "url", "problem"),
    [
        ({}, URL, "disabled"),
        (WEBHOOKS, "https://evil.example/", "host"),
        (WEBHOOKS, "http://hooks.example.org/", "scheme"),
        (WEBHOOKS, "https://hooks.example.org@169.254.169.254/", "userinfo"),
    ],
)
def test_an_address_that_is_not_allowed_is_refused_with_a_cure(make_server, send, settings, url, problem) -> None:
    server = make_server(**settings)
    refusal = refused(lambda: send(server, url))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "WEBHOOK_REFUSED")
    assert refusal.params["webhook_problem"] == problem
    assert refusal.details["BadRequest"].field_violations[0].field == "header.webhook_url"
    message, cure = refusal.texts
    assert message.message.startswith("The address for the webhook is not accepted: ")
    assert "FACNET_WEBHOOK_HOSTS" in cure.message
    assert url not in str(refusal.trailers)
    assert not server.stub.ListValidations(pb.ListValidationsRequest()).validations


@pytest.mark.parametrize("send", [by_stream, by_chunk])
def test_the_end_of_a_run_is_owed_to_whom_its_upload_named(make_server, owed, send) -> None:
    server = make_server(**WEBHOOKS)
    run_id = UUID(send(server, URL).validation_id)
    assert owed() == []
    Worker(server, run_id).start().complete()
    (one,) = owed()
    assert (one.run_id, one.url, one.channel) == (run_id, URL, Channel.WEBHOOK)


def test_a_waiting_run_that_is_cancelled_owes_it_too(make_server, owed) -> None:
    server = make_server(**WEBHOOKS)
    run_id = submit(server, webhook_url=URL)
    for _ in range(2):
        server.stub.CancelValidation(pb.CancelValidationRequest(validation_id=str(run_id)))
    (one,) = owed()
    assert (one.run_id, one.status) == (run_id, "CANCELLED")


@pytest.mark.parametrize(("mail_to", "count"), [("*=a@example.org", 1), ("local=a@example.org", 1), ("b=a@b.org", 0)])
def test_mail_is_owed_for_owners_whom_somebody_listens_to(make_server, owed, mail_to, count) -> None:
    server = make_server(**MAIL, mail_to=mail_to)
    Worker(server, submit(server)).start().complete()
    assert [one.channel for one in owed()] == [Channel.MAIL] * count


def test_nobody_can_read_the_address_again(make_server) -> None:
    server = make_server(**WEBHOOKS)
    run_id = submit(server, webhook_url=URL)
    shown = server.stub.GetValidation(pb.GetValidationRequest(validation_id=str(run_id)))
    assert "hooks" not in str(shown)
