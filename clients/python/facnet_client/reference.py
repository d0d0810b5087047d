"""Reference data of the server, what the RAMQ publishes: values, and the calls that read and replace them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Unpack

import grpc

from facnet_client.connection import MAX_PAGE_SIZE, CallOptions, Connection
from facnet_client.convert import Value
from facnet_client.errors import from_rpc
from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb2
from facnet_grpc.gen.facnet.v1.reference_service_pb2_grpc import ReferenceServiceStub

CHUNK_BYTES = 512 << 10
IMPORT_SECONDS = 120.0


class ReferenceKind(StrEnum):
    """The content of a reference file."""

    CODES = "codes"
    ESTABLISHMENTS = "establishments"
    CONTEXTS = "contexts"


# A column that only files of one kind have.
_MARKER_COLUMNS = {
    "tariff": ReferenceKind.CODES,
    "gmf": ReferenceKind.ESTABLISHMENTS,
    "context": ReferenceKind.CONTEXTS,
}


class Tariff(Value):
    """The tariff of a code at a place; None where the manual gives no amount."""

    place: str
    amount_cents: int | None
    base_units: str


class BillingCode(Value):
    """A billing code of the RAMQ manual, with its tariffs."""

    code: str
    tariffs: tuple[Tariff, ...]
    tab: str
    section: str


class Establishment(Value):
    """A place of practice."""

    number: str
    name: str
    type: str
    gmf: bool


class ReferenceVersion(Value):
    """A version of the reference data; runs record which one they used."""

    reference_version: str
    source: str
    create_time: datetime
    code_count: int
    establishment_count: int
    context_count: int


class ReferenceImport(Value):
    """The version that an import has created, and the number of rows that differ from the version before."""

    reference_version: str
    added: int
    removed: int
    changed: int


@dataclass(frozen=True, slots=True)
class ReferenceFile:
    """A file to import: CSV in UTF-8. `source` is a free text: origin and date."""

    kind: ReferenceKind
    data: bytes
    source: str = ""


class Reference:
    """`client.reference`. Every method raises `FacnetError` and takes `CallOptions`.

    An empty `version` is the one in force.
    """

    def __init__(self, connection: Connection) -> None:
        """Make calls over `connection`."""
        self._stub = ReferenceServiceStub(connection.channel)
        self._connection = connection

    def version(self, version: str = "", **options: Unpack[CallOptions]) -> ReferenceVersion:
        """Return what is known of a version. Raises `NotFound`.

        Example:
            >>> client.reference.version().code_count
            2
        """
        request = pb2.GetReferenceVersionRequest(reference_version=version)
        return ReferenceVersion.from_message(self._connection.unary(self._stub.GetReferenceVersion, request, **options))

    def codes(
        self, *, prefix: str = "", version: str = "", page_size: int = MAX_PAGE_SIZE, **options: Unpack[CallOptions]
    ) -> Iterator[BillingCode]:
        """Yield billing codes with their tariffs (amounts in cents), by code, fetching pages as they are needed.

        Example:
            >>> [(code.code, code.tariffs[0].amount_cents) for code in client.reference.codes(prefix="158")]
            [('15803', 4285), ('15804', None)]
        """
        request = pb2.ListBillingCodesRequest(page_size=page_size, code_prefix=prefix, reference_version=version)
        return self._connection.items(self._stub.ListBillingCodes, request, "codes", BillingCode, **options)

    def code(self, code: str, *, version: str = "", **options: Unpack[CallOptions]) -> BillingCode:
        """Return one billing code. Raises `NotFound`.

        Example:
            >>> client.reference.code("15803").section
            'B'
        """
        request = pb2.GetBillingCodeRequest(code=code, reference_version=version)
        return BillingCode.from_message(self._connection.unary(self._stub.GetBillingCode, request, **options).code)

    def establishments(
        self,
        *,
        gmf_only: bool = False,
        version: str = "",
        page_size: int = MAX_PAGE_SIZE,
        **options: Unpack[CallOptions],
    ) -> Iterator[Establishment]:
        """Yield establishments, by number, fetching pages as they are needed.

        Example:
            >>> [place.number for place in client.reference.establishments(gmf_only=True)]
            ['55001']
        """
        request = pb2.ListEstablishmentsRequest(page_size=page_size, gmf_only=gmf_only, reference_version=version)
        return self._connection.items(
            self._stub.ListEstablishments, request, "establishments", Establishment, **options
        )

    def load(self, files: Iterable[ReferenceFile], **options: Unpack[CallOptions]) -> ReferenceImport:
        """Import files as a new version, all or nothing; what is not among them stays as it is.

        Without a `timeout`, it may take 120 s. Raises `InvalidRequest` if a file cannot be used, `Refused` if the
        caller is no admin.

        Example:
            >>> codes = Path("codes.csv").read_bytes()
            >>> client.reference.load([ReferenceFile(ReferenceKind.CODES, codes, source="manual of 2025-03-01")]).added
            1
        """
        timeout = options.get("timeout")
        metadata = self._connection.metadata(options.get("metadata", ()))
        try:
            answer = self._stub.ImportReference(
                _messages(files), timeout=IMPORT_SECONDS if timeout is None else timeout, metadata=metadata
            )
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        return ReferenceImport.from_message(answer)


def guess_kind(data: bytes) -> ReferenceKind | None:
    """Return the kind of a reference file, by the columns of its header; None if they do not show it."""
    header = data.partition(b"\n")[0].decode("utf-8-sig", "replace").lower().replace(";", ",")
    names = {cell.strip().strip('"') for cell in header.split(",")}
    found = {kind for column, kind in _MARKER_COLUMNS.items() if column in names}
    return found.pop() if len(found) == 1 else None


def _messages(files: Iterable[ReferenceFile]) -> Iterator[pb2.ImportReferenceRequest]:
    for file in files:
        kind = pb2.ReferenceKind.Value(f"REFERENCE_KIND_{file.kind.name}")
        yield pb2.ImportReferenceRequest(header=pb2.ReferenceFileHeader(kind=kind, source=file.source))
        for start in range(0, len(file.data), CHUNK_BYTES):
            yield pb2.ImportReferenceRequest(data=file.data[start : start + CHUNK_BYTES])
