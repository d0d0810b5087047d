"""Reference data of the server, what the RAMQ publishes: values, and the calls that read and replace them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import grpc

from facnet_client import convert
from facnet_client.calls import Calls
from facnet_client.errors import from_rpc
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.reference_service_pb2_grpc import ReferenceServiceStub

LARGEST_PAGE = 1000
CHUNK_BYTES = 512 << 10
IMPORT_SECONDS = 120.0


class ReferenceKind(StrEnum):
    """What a reference file holds."""

    CODES = "codes"
    ESTABLISHMENTS = "establishments"
    CONTEXTS = "contexts"


# A column that only files of a kind have.
_TELLTALE = {"tariff": ReferenceKind.CODES, "gmf": ReferenceKind.ESTABLISHMENTS, "context": ReferenceKind.CONTEXTS}


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a code pays at a place; no amount where the manual gives none."""

    place: str
    amount_cents: int | None
    base_units: str


@dataclass(frozen=True, slots=True)
class BillingCode:
    """A code of the manual."""

    code: str
    tariffs: tuple[Tariff, ...]
    tab: str
    section: str


@dataclass(frozen=True, slots=True)
class Establishment:
    """A place of practice."""

    number: str
    name: str
    type: str
    gmf: bool


@dataclass(frozen=True, slots=True)
class ReferenceVersion:
    """A version, as runs record it."""

    reference_version: str
    source: str
    create_time: datetime
    code_count: int
    establishment_count: int
    context_count: int


@dataclass(frozen=True, slots=True)
class Imported:
    """The version that an import has made, and the rows that differ from the one before."""

    reference_version: str
    added: int
    removed: int
    changed: int


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A file to import: CSV, UTF-8. `source` says where it is from, and of which date."""

    kind: ReferenceKind
    data: bytes
    source: str = ""


class Reference:
    """`client.reference`. Every method raises `FacnetError`; an empty `version` is the one in force."""

    def __init__(self, channel: grpc.Channel, calls: Calls) -> None:
        """Read over a channel."""
        self._stub = ReferenceServiceStub(channel)
        self._calls = calls

    def version(self, version: str = "") -> ReferenceVersion:
        """Return what is known of a version. Raises `NotFound`."""
        request = pb2.GetReferenceVersionRequest(reference_version=version)
        found = self._calls.unary(self._stub.GetReferenceVersion, request)
        return ReferenceVersion(
            reference_version=found.reference_version,
            source=found.source,
            create_time=found.create_time.ToDatetime(tzinfo=UTC),
            code_count=found.code_count,
            establishment_count=found.establishment_count,
            context_count=found.context_count,
        )

    def codes(self, *, prefix: str = "", version: str = "", page_size: int = LARGEST_PAGE) -> Iterator[BillingCode]:
        """Yield billing codes with their tariffs, by code."""
        request = pb2.ListBillingCodesRequest(page_size=page_size, code_prefix=prefix, reference_version=version)
        for page in self._calls.pages(self._stub.ListBillingCodes, request):
            yield from map(_code, page.codes)

    def code(self, code: str, *, version: str = "") -> BillingCode:
        """Return one billing code. Raises `NotFound`."""
        request = pb2.GetBillingCodeRequest(code=code, reference_version=version)
        return _code(self._calls.unary(self._stub.GetBillingCode, request).code)

    def establishments(
        self, *, gmf_only: bool = False, version: str = "", page_size: int = LARGEST_PAGE
    ) -> Iterator[Establishment]:
        """Yield establishments, by number."""
        request = pb2.ListEstablishmentsRequest(page_size=page_size, gmf_only=gmf_only, reference_version=version)
        for page in self._calls.pages(self._stub.ListEstablishments, request):
            for one in page.establishments:
                yield Establishment(one.number, one.name, one.type, one.gmf)

    def load(self, files: Iterable[ReferenceFile]) -> Imported:
        """Import files as a new version, all or nothing; what is not among them stays as it is."""
        try:
            made = self._stub.ImportReference(_messages(files), timeout=IMPORT_SECONDS, metadata=self._calls.metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        return Imported(made.reference_version, made.added, made.removed, made.changed)


def guess_kind(data: bytes) -> ReferenceKind | None:
    """Return what a file holds, by its header; None if that does not tell."""
    header = data.partition(b"\n")[0].decode("utf-8-sig", "replace").lower().replace(";", ",")
    names = {cell.strip().strip('"') for cell in header.split(",")}
    found = {kind for column, kind in _TELLTALE.items() if column in names}
    return found.pop() if len(found) == 1 else None


def _messages(files: Iterable[ReferenceFile]) -> Iterator[pb2.ImportReferenceRequest]:
    for file in files:
        kind = pb2.ReferenceKind.Value(f"REFERENCE_KIND_{file.kind.name}")
        yield pb2.ImportReferenceRequest(header=pb2.ReferenceFileHeader(kind=kind, source=file.source))
        for start in range(0, len(file.data), CHUNK_BYTES):
            yield pb2.ImportReferenceRequest(data=file.data[start : start + CHUNK_BYTES])


def _code(message: pb2.BillingCode) -> BillingCode:
    tariffs = tuple(
        Tariff(one.place, convert.cents(one.amount) if one.HasField("amount") else None, one.base_units)
        for one in message.tariffs
    )
    return BillingCode(message.code, tariffs, message.tab, message.section)
