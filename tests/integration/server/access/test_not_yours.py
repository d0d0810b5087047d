"""What is somebody else's costs what does not exist costs: not by the clock, but because the same things are done.

Every query, every command to Redis and every look at the disk that a call makes is noted, once with the id of another
owner's run, upload or batch, once with an id that nobody has. Both lists are the same, for every call that takes an id.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
import redis
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from serving import Refusal, Server, Worker, eventually, messages

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.server.access.roles import ROLES
from facnet_grpc.server.app import SERVICES
from facnet_grpc.storage.blobs.local import LocalBlobStore
from facnet_grpc.storage.postgres import sql_loader, tracing_cursor

pytestmark = pytest.mark.system

Code = grpc.StatusCode
IDS = ("validation_id", "upload_id", "batch_id")
# Their callers choose the id: one that nobody has is a new upload, one that somebody else has is NOT_FOUND.
CHOSEN_BY_CALLERS = {"SubmitValidation", "UploadChunk"}
METHODS = [
    (method, name)
    for service in SERVICES
    if service.full_name.startswith("facnet.")
    for method in service.methods
    for name in IDS
    if name in method.input_type.fields_by_name and method.name not in CHOSEN_BY_CALLERS
]
TOKENS = "victim=victim/editor, thief=thief/editor"


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    return make_server(dev_tokens=TOKENS)


def bearing(token: str) -> Any:
    return (("authorization", f"Bearer {token}"),)


def submit(server: Server, **header: Any) -> UUID:
    answer = server.stub.SubmitValidation(messages(b"a,b\n1,2\n", **header), metadata=bearing("victim"), timeout=10)
    return UUID(answer.validation_id)


STATES: dict[str, Callable[[Worker], Any]] = {
    "QUEUED": lambda worker: None,
    "PROCESSING": Worker.start,
    "COMPLETED": lambda worker: worker.start().complete(),
    "FAILED": lambda worker: worker.start().fail(TerminalError(Reason.NOT_A_CSV)),
}


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes what is done, in order."""
    noted: list[str] = []

    def note(kind: type, name: str, what: Callable[..., str]) -> None:
        real = getattr(kind, name)

        def noting(self: Any, *args: Any, **named: Any) -> Any:
            noted.append(what(*args))
            return real(self, *args, **named)

        monkeypatch.setattr(kind, name, noting)

    note(tracing_cursor.TracingCursor, "execute", lambda query, *_: f"query {sql_loader.name_of(query) or query}")
    note(redis.Redis, "execute_command", lambda command, *_: f"redis {command}")
    for name in ("open", "size", "part_size", "open_part", "delete", "delete_part"):
        note(LocalBlobStore, name, lambda *_, name=name: f"disk {name}")
    return noted


def call(server: Server, method: MethodDescriptor, request: Message) -> tuple[Code, str, int, str]:
    """Make a call as the thief; return what comes of it, as far as it depends on whether there is such a thing."""
    kind = "unary_stream" if method.server_streaming else "unary_unary"
    path = f"/{method.containing_service.full_name}/{method.name}"
    prepared = getattr(server.channel, kind)(path)
    try:
        answer = prepared(request.SerializeToString(), metadata=bearing("thief"), timeout=10)
        return Code.OK, "", len(b"".join(answer) if method.server_streaming else answer), ""
    except grpc.RpcError as error:
        refusal = Refusal(error)
        return refusal.code, refusal.reason, len(refusal.trailers["grpc-status-details-bin"]), refusal.message
    finally:
        eventually(lambda: server.running.background.is_idle)


def request(method: MethodDescriptor, name: str, value: str) -> Message:
    asked = GetMessageClass(method.input_type)(**{name: value})
    if method.name == "ExportValidation":
        asked.content = asked.format = 1
    return asked


@pytest.mark.parametrize("state", STATES)
def test_the_same_is_done_for_what_is_not_yours_and_for_what_is_not(
    server: Server, done: list[str], state: str
) -> None:
    stolen = {"upload_id": str(uuid4()), "batch_id": "batch-of-the-victim"}
    run_id = submit(server, **stolen)
    STATES[state](Worker(server, run_id))
    stolen["validation_id"] = str(run_id)
    made_up = {"upload_id": str(uuid4()), "validation_id": str(uuid4()), "batch_id": "batch-of-nobody-yet"}
    eventually(lambda: server.running.background.is_idle)
    for method, name in METHODS:
        seen = []
        for value in (stolen[name], made_up[name]):
            done.clear()
            seen.append((call(server, method, request(method, name, value)), list(done)))
        theirs, nobodys = seen
        assert theirs == nobodys, f"{method.name} tells"
        (code, *_), work = theirs
        if ROLES[f"/{method.containing_service.full_name}/{method.name}"].name == "ADMIN":
            assert (code, work) == (Code.PERMISSION_DENIED, [])
        else:
            assert code in ({Code.OK} if method.name == "ListValidations" else {Code.NOT_FOUND}), method.name
            assert any(one.startswith("query ") for one in work), f"{method.name} was not looked at"


def test_it_is_noted_when_more_is_done(server: Server, done: list[str]) -> None:
    run_id = submit(server, upload_id=str(uuid4()))
    method, name = next(pair for pair in METHODS if pair[0].name == "GetValidation")
    asked = request(method, name, str(run_id)).SerializeToString()
    done.clear()
    server.channel.unary_unary(f"/{method.containing_service.full_name}/GetValidation")(
        asked, metadata=bearing("victim"), timeout=10
    )
    own = list(done)
    done.clear()
    call(server, method, request(method, name, str(run_id)))
    assert len(own) > len(done) > 0, "a caller's own run that waits is looked at twice: its place in the queue"


def test_every_call_that_takes_an_id_is_looked_at() -> None:
    assert len({method.name for method, _ in METHODS}) >= 15
    assert {"GetValidation", "WatchValidation", "GetUpload", "GetBatch", "ListValidations"} <= {
        method.name for method, _ in METHODS
    }
