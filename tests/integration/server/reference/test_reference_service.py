"""ReferenceService on the real port: what is shipped, and imports that go through whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from serving import Server, refused

from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.gen.facnet.v1.reference_service_pb2_grpc import ReferenceServiceStub
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.server.main import Tuning

PLACES = b"number,name,type,gmf\n50001,Clinique A,cabinet,oui\n50002,Clinique B,cabinet,0\n"
CODES = b'code,place,tariff,base_units,tab,section,heading\n8857,cabinet,"59,70",,B,A > B,\n'
CONTEXTS = b"context,label,ends_on\ng160,Sans rendez-vous,\n"
KIND = {
    "codes": pb.REFERENCE_KIND_CODES,
    "establishments": pb.REFERENCE_KIND_ESTABLISHMENTS,
    "contexts": pb.REFERENCE_KIND_CONTEXTS,
}


@pytest.fixture
def stub(server: Server) -> Iterator[ReferenceServiceStub]:
    """The service; what is imported is forgotten afterwards."""
    yield ReferenceServiceStub(server.channel)
    with server.database.connection() as conn:
        for table in ("reference_versions", "billing_codes", "establishments", "contexts"):
            conn.execute(f"DELETE FROM {table}")


def messages(**files: bytes) -> Iterator[pb.ImportReferenceRequest]:
    for kind, data in files.items():
        yield pb.ImportReferenceRequest(header=pb.ReferenceFileHeader(kind=KIND[kind], source=f"list of {kind}"))
        for start in range(0, len(data), 10):
            yield pb.ImportReferenceRequest(data=data[start : start + 10])


def load(stub, **files):
    return stub.ImportReference(messages(**files), timeout=10)


def version(stub, name=""):
    return stub.GetReferenceVersion(pb.GetReferenceVersionRequest(reference_version=name), timeout=10)


def places(stub, **request):
    answer = stub.ListEstablishments(pb.ListEstablishmentsRequest(**request), timeout=10)
    return [place.number for place in answer.establishments]


def test_what_is_shipped_is_in_force(stub):
    found = version(stub)
    assert found.reference_version == shipped().version
    assert (found.code_count, found.establishment_count) == (len(shipped().codes), 0)
    assert found.context_count == len(shipped().contexts)
    assert found.HasField("create_time")
    assert "2019-10-01" in found.source


def test_codes_come_in_pages_with_their_tariffs(stub):
    codes, token = [], ""
    while True:
        request = pb.ListBillingCodesRequest(code_prefix="158", page_size=9, page_token=token)
        page = stub.ListBillingCodes(request, timeout=10)
        codes += page.codes
        if not (token := page.next_page_token):
            break
    assert [code.code for code in codes] == sorted(code for code in shipped().codes if code.startswith("158"))
    (periodic,) = (code for code in codes if code.code == "15819")
    amounts = {tariff.place: (tariff.amount.units, tariff.amount.nanos) for tariff in periodic.tariffs}
    assert amounts["cabinet"] == (96, 350_000_000)
    assert periodic.tab
    assert periodic.section


def test_one_code_four_digits_will_do(stub):
    code = stub.GetBillingCode(pb.GetBillingCodeRequest(code="8857"), timeout=10).code
    assert code.code == "08857"


@pytest.mark.parametrize(("code", "name"), [("99999", ""), ("08857", "no-such-version")])
def test_what_is_not_there_is_not_found(stub, code, name):
    request = pb.GetBillingCodeRequest(code=code, reference_version=name)
    refusal = refused(lambda: stub.GetBillingCode(request, timeout=10))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "REFERENCE_NOT_FOUND")


def test_an_import_is_a_version_and_leaves_the_old_one_readable(stub):
    made = load(stub, establishments=PLACES)
    assert (made.added, made.removed, made.changed) == (2, 0, 0)
    found = version(stub)
    assert found.reference_version == made.reference_version
    assert (found.establishment_count, found.code_count) == (2, len(shipped().codes))
    assert found.source == "establishments: list of establishments"
    assert (places(stub), places(stub, gmf_only=True)) == (["50001", "50002"], ["50001"])
    assert places(stub, reference_version=shipped().version) == []
    first = stub.ListEstablishments(pb.ListEstablishmentsRequest(page_size=1), timeout=10)
    assert first.establishments[0].name == "Clinique A"
    assert places(stub, page_size=1, page_token=first.next_page_token) == ["50002"]


def test_several_files_are_one_version(stub):
    made = load(stub, codes=CODES, contexts=CONTEXTS, establishments=PLACES)
    found = version(stub)
    assert (found.code_count, found.establishment_count, found.context_count) == (1, 2, 1)
    assert made.removed > 1000
    code = stub.GetBillingCode(pb.GetBillingCodeRequest(code="08857"), timeout=10).code
    assert (code.tariffs[0].amount.units, code.section) == (59, "B")


def test_the_same_content_is_the_present_version(stub):
    first = load(stub, establishments=PLACES)
    again = load(stub, establishments=PLACES.replace(b"\n", b"\r\n").replace(b"oui", b"TRUE"))
    assert again.reference_version == first.reference_version
    assert (again.added, again.removed, again.changed) == (0, 0, 0)


@pytest.mark.parametrize(
    ("kind", "data", "line", "column", "problem"),
    [
        ("establishments", PLACES + b"50003,C,cabinet,perhaps\n", 4, "gmf", "bad_flag"),
        ("establishments", PLACES + b"50001,C,cabinet,0\n", 4, "number", "twice"),
        ("establishments", PLACES + b"5001,C,cabinet,0\n", 4, "number", "bad_number"),
        ("establishments", PLACES + b"50003,C,cabinet\n", 4, "", "wrong_field_count"),
        ("establishments", PLACES + b"50003,\xe9,cabinet,0\n", 4, "", "not_utf8"),
        ("establishments", PLACES + b'50003,"C\nD",cabinet,0\n', 4, "", "open_quote"),
        ("establishments", PLACES + b'50003,"C,cabinet,0\n', 4, "", "wrong_field_count"),
        ("establishments", PLACES + b"50003," + b"x" * 501 + b",cabinet,0\n", 4, "name", "too_long"),
        ("establishments", b"number,name,type\n", 1, "gmf", "column_missing"),
        ("establishments", b"number,name,type,gmf\n\n", 2, "", "empty"),
        ("establishments", b"number,name,type,gmf,gmf\n50003,C,cabinet,0,0\n", 1, "gmf", "column_twice"),
        ("establishments", b"", 1, "", "empty"),
        ("codes", CODES + b"1234x,all,1,,B,,\n", 3, "code", "bad_code"),
        ("codes", CODES + b"12345,all,1.234,,B,,\n", 3, "tariff", "bad_amount"),
        ("codes", CODES + b"12345,all,1,-1,B,,\n", 3, "base_units", "bad_count"),
        ("codes", CODES + b"12345,,1,,B,,\n", 3, "place", "missing"),
        ("contexts", CONTEXTS + b"1,x,2025-02-30\n", 3, "ends_on", "bad_day"),
        ("contexts", CONTEXTS + b"a b,x,\n", 3, "context", "bad_word"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_bad_cell_refuses_everything_and_says_where(stub, kind, data, line, column, problem):
    files = {"establishments": PLACES, "contexts": CONTEXTS} | {kind: data}
    refusal = refused(lambda: load(stub, **files))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "BAD_REFERENCE_FILE")
    (violation,) = refusal.details["BadRequest"].field_violations
    assert violation.field == f"{kind}[{line}]" + (f".{column}" if column else "")
    assert (refusal.params["line"], refusal.params["column"], refusal.params["problem"]) == (str(line), column, problem)
    assert f"ligne\N{NO-BREAK SPACE}{line}" in refusal.texts[0].message or f"ligne {line}" in refusal.texts[0].message
    assert problem not in refusal.texts[0].message
    assert version(stub).reference_version == shipped().version


def test_a_stream_needs_a_header_first_and_each_kind_once(stub):
    data = pb.ImportReferenceRequest(data=PLACES)
    assert refused(lambda: stub.ImportReference(iter([data]), timeout=10)).reason == "HEADER_REQUIRED"
    assert refused(lambda: stub.ImportReference(iter([]), timeout=10)).reason == "HEADER_REQUIRED"
    twice = [*messages(establishments=PLACES), *messages(establishments=PLACES)]
    assert refused(lambda: stub.ImportReference(iter(twice), timeout=10)).code is grpc.StatusCode.INVALID_ARGUMENT
    unknown = pb.ImportReferenceRequest(header=pb.ReferenceFileHeader())
    assert refused(lambda: stub.ImportReference(iter([unknown]), timeout=10)).code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_file_may_be_so_large_and_no_larger(make_server):
    stub = ReferenceServiceStub(make_server(tuning=Tuning(reference_file_bytes=50)).channel)
    refusal = refused(lambda: load(stub, establishments=PLACES))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "FILE_TOO_LARGE")


def test_a_stream_that_breaks_imports_nothing(stub, server):
    def broken():
        yield from messages(establishments=PLACES)
        raise RuntimeError

    with pytest.raises(grpc.RpcError):
        stub.ImportReference(broken(), timeout=10)
    assert server.running.background.is_idle
    assert version(stub).reference_version == shipped().version
