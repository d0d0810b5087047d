"""The examples in docstrings run, and every method has one; every method takes a timeout and metadata of its own."""

from __future__ import annotations

import doctest
import inspect
from pathlib import Path

import pytest
from example_server import ExampleServer, serving
from fake_server import RUN_ID

import facnet_client.client
import facnet_client.connection
import facnet_client.operations
import facnet_client.reference
import facnet_client.results
import facnet_client.rules
from facnet_client import ExportFormat, FacnetClient, Retry, Status, Submission, Unavailable
from facnet_client.operations import Operations
from facnet_client.reference import Reference, ReferenceFile, ReferenceKind
from facnet_client.rules import Rules

MODULES = ("client", "connection", "operations", "reference", "results", "rules")
EXAMPLES = [
    example
    for name in MODULES
    for example in doctest.DocTestFinder().find(getattr(facnet_client, name))
    if example.examples
]
FILES = [ReferenceFile(ReferenceKind.CODES, b"code,tariff\n")]
# Every method that makes calls, and what it needs.
ARGUMENTS = {
    "submit": ["claims.csv"],
    "watch": [RUN_ID],
    "get": [RUN_ID],
    "list": [],
    "cancel": [RUN_ID],
    "retry": [RUN_ID],
    "delete": [RUN_ID],
    "summary": [RUN_ID],
    "results": [RUN_ID],
    "rejects": [RUN_ID],
    "records": [RUN_ID],
    "logs": [RUN_ID],
    "export": [RUN_ID, "results.csv"],
    "batch": ["2025-03"],
    "watch_batch": ["2025-03"],
    "revalidate": [RUN_ID],
    "operations.stats": [],
    "operations.failed": [],
    "operations.replay": [RUN_ID],
    "operations.purge": [],
    "reference.version": [],
    "reference.codes": [],
    "reference.code": ["15803"],
    "reference.establishments": [],
    "reference.load": [FILES],
    "rules.list": [],
    "rules.get": ["office_fee"],
}


@pytest.fixture
def example():
    return ExampleServer()


@pytest.fixture
def target(example):
    with serving(example) as target:
        yield target


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("claims.csv").write_bytes(b"some lines")
    Path("codes.csv").write_bytes(b"code,tariff\n15803,42.85\n")


@pytest.fixture
def client(target):
    with FacnetClient(target, retry=Retry(connect=0.2, patience=0.2, first_delay=0.01)) as client:
        yield client


def method_of(client, name):
    *parts, last = name.split(".")
    return getattr(getattr(client, parts[0]) if parts else client, last)


def call(client, name, **options):
    """Call a method, and read what it yields to the end."""
    answer = method_of(client, name)(*ARGUMENTS[name], **options)
    return list(answer) if inspect.isgenerator(answer) else answer


def public_methods(kind):
    return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("found", EXAMPLES, ids=lambda found: found.name.removeprefix("facnet_client."))
def test_examples_show_what_happens(client, target, found):
    found.globs.update(client=client, run=Submission(RUN_ID, f"validation-{RUN_ID}", Status.QUEUED), Path=Path)
    for step in found.examples:
        step.source = step.source.replace("127.0.0.1:50051", target)
    said = []
    failures = doctest.DocTestRunner().run(found, out=said.append).failed
    assert failures == 0, "".join(said)


def test_every_method_has_an_example():
    shown = {example.name.rpartition(".")[2] for example in EXAMPLES}
    assert {name.rpartition(".")[2] for name in ARGUMENTS} - shown == set()


def test_no_method_is_forgotten_here():
    parts = {"operations": Operations, "reference": Reference, "rules": Rules}
    made = {f"{part}.{name}" for part, kind in parts.items() for name in public_methods(kind)}
    assert ARGUMENTS.keys() == public_methods(FacnetClient) - {"close"} | made


@pytest.mark.parametrize("name", ARGUMENTS)
def test_every_call_takes_a_timeout_and_metadata(client, example, name):
    call(client, name, timeout=7.0, metadata=[("x-clinic", "7"), ("x-trace-bin", b"\x00\xff")])
    assert example.calls
    for made in example.calls:
        assert 0 < made.seconds < 8  # gRPC rounds what it sends up
        assert (made.metadata["x-clinic"], made.metadata["x-trace-bin"]) == ("7", b"\x00\xff")


@pytest.mark.parametrize(
    "name", ["submit", "watch", "watch_batch", "export", "get", "results", "logs", "reference.load"]
)
def test_a_timeout_ends_the_call_however_patient_the_client_is(target, example, name):
    example.hang = True
    patient = Retry(connect=60, patience=60, first_delay=0.01)
    with FacnetClient(target, retry=patient) as client, pytest.raises(Unavailable, match="DEADLINE_EXCEEDED"):
        call(client, name, timeout=0.2)


def test_without_a_timeout_unary_calls_have_that_of_the_client_and_streams_have_none(client, example):
    client.get(RUN_ID)
    list(client.watch(RUN_ID))
    client.export(RUN_ID, "results.csv", file_format=ExportFormat.CSV)
    unary, *streams = [made.seconds for made in example.calls]
    assert 0 < unary < 31
    assert all(seconds is None or seconds > 10**6 for seconds in streams)
