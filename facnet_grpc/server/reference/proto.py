"""Reference data: model ⇄ proto."""

from __future__ import annotations

from collections.abc import Sequence

from facnet_grpc.gen.facnet.v1 import reference_service_pb2 as pb
from facnet_grpc.model.reference import ReferenceChanges, ReferenceVersion
from facnet_grpc.reference.snapshot import CodeEntry, Establishment
from facnet_grpc.server.proto import money, timestamp


def billing_code(code: str, entries: Sequence[CodeEntry]) -> pb.BillingCode:
    """Return a code with its tariffs; `entries` has at least one."""
    return pb.BillingCode(
        code=code,
        tariffs=[
            pb.Tariff(
                place=entry.place,
                amount=None if entry.tariff_cents is None else money(entry.tariff_cents),
                base_units="" if entry.base_units is None else str(entry.base_units),
            )
            for entry in entries
        ],
        tab=entries[0].tab,
        section=entries[0].label,
    )


def establishment(place: Establishment) -> pb.Establishment:
    """Return an establishment."""
    return pb.Establishment(number=place.number, name=place.name, type=place.type, gmf=place.gmf)


def version(found: ReferenceVersion) -> pb.GetReferenceVersionResponse:
    """Return a version."""
    return pb.GetReferenceVersionResponse(
        reference_version=found.version,
        source=found.source,
        create_time=timestamp(found.created_at),
        code_count=found.code_count,
        establishment_count=found.establishment_count,
        context_count=found.context_count,
    )


def imported(found: ReferenceVersion, changes: ReferenceChanges) -> pb.ImportReferenceResponse:
    """Return the version that an import has created."""
    return pb.ImportReferenceResponse(
        reference_version=found.version,
        added=changes.added,
        removed=changes.removed,
        changed=changes.changed,
    )
