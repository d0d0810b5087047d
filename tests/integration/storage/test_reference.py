"""Versions of the reference: shipped, imported, in force; whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date

import pytest

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.model.reference import ReferenceChanges
from facnet_grpc.reference import snapshot as snapshots
from facnet_grpc.reference.snapshot import Establishment, shipped
from facnet_grpc.storage.postgres import reference

DAY = date(2025, 3, 3)
PLACES = {
    "50001": Establishment("50001", gmf=True, name="Clinique A", type="cabinet"),
    "50002": Establishment("50002", gmf=False, name="Clinique B", type="cabinet"),
}


@pytest.fixture
def conn(database) -> Iterator:
    """A connection whose changes nobody sees."""
    with database.connection() as conn:
        yield conn
        conn.rollback()


def adopt(conn, **parts):
    return reference.adopt(conn, parts, source="a list of ours", day=DAY)


def forget(conn):
    for table in ("reference_versions", "billing_codes", "establishments", "contexts"):
        conn.execute(f"DELETE FROM {table}")


def test_what_is_shipped_is_there_after_the_migration_and_reads_back_whole(conn):
    version = reference.in_force(conn)
    assert (version.version, version.origin) == (shipped().version, "shipped")
    assert (version.code_count, version.establishment_count) == (len(shipped().codes), 0)
    assert reference.snapshot(conn, version.version) == shipped()


def test_an_empty_database_gets_what_is_shipped_when_it_is_first_asked(conn):
    forget(conn)
    assert reference.in_force(conn).version == shipped().version
    assert reference.load_shipped(conn).version == shipped().version


def test_an_import_exchanges_one_part_and_leaves_the_others(conn):
    made, changes = adopt(conn, establishments=PLACES)
    assert made == reference.in_force(conn) == reference.resolve(conn, made.version)
    assert made.version.startswith("imported-2025-03-03-")
    assert made.source == "a list of ours"
    assert changes == ReferenceChanges(added=2)
    assert reference.snapshot(conn, made.version) == replace(shipped(), version=made.version, establishments=PLACES)
    assert reference.snapshot(conn, shipped().version) == shipped()


def test_the_same_content_is_the_same_version(conn):
    first, _ = adopt(conn, establishments=PLACES)
    again, changes = adopt(conn, establishments=dict(reversed(PLACES.items())))
    assert again == first
    assert changes == ReferenceChanges()


def test_earlier_content_comes_into_force_again_under_its_old_name(conn):
    first, _ = adopt(conn, establishments=PLACES)
    back, changes = adopt(conn, establishments={})
    assert back.version == reference.in_force(conn).version == shipped().version
    assert changes == ReferenceChanges(removed=2)
    assert adopt(conn, establishments=PLACES)[0].version == first.version == reference.in_force(conn).version


def test_changed_and_gone_rows_are_counted(conn):
    adopt(conn, establishments=PLACES)
    moved = {"50002": replace(PLACES["50002"], gmf=True), "50003": replace(PLACES["50001"], number="50003")}
    assert adopt(conn, establishments=moved)[1] == ReferenceChanges(added=1, removed=1, changed=1)


@pytest.mark.parametrize("imported", [False, True])
def test_a_newer_shipped_version_leads_unless_somebody_imported_their_own(conn, imported):
    if imported:
        adopt(conn, establishments=PLACES)
    before = reference.in_force(conn)
    newer = replace(shipped(), version="newer", codes={"00001": shipped().codes["00005"]})
    after = reference.load_shipped(conn, newer)
    assert reference.in_force(conn) == after
    assert after.version == (before.version if imported else "newer")
    assert reference.resolve(conn, "newer").code_count == 1


def test_an_import_that_fails_half_way_leaves_nothing(database):
    def break_off():
        with database.connection() as conn:
            adopt(conn, establishments=PLACES)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    with database.connection() as conn:
        assert reference.in_force(conn).version == shipped().version
        assert conn.execute("SELECT count(*) FROM establishments").fetchone() == (0,)


def test_pages_of_codes_hold_whole_codes(conn):
    version = reference.in_force(conn).version
    codes = sorted(code for code in shipped().codes if code.startswith("15"))
    seen: list[str] = []
    while page := reference.code_page(conn, version, prefix="15", after=seen[-1] if seen else "", limit=7):
        assert len(page) <= 7
        seen += [code for code, _ in page]
        assert all(entries == shipped().codes[code] for code, entries in page)
    assert seen == codes
    assert reference.code(conn, version, "15819") == shipped().codes["15819"]


def test_pages_of_establishments(conn):
    version = adopt(conn, establishments=PLACES)[0].version

    def page(**more):
        options = {"gmf_only": False, "after": "", "limit": 10, **more}
        return [place.number for place in reference.establishment_page(conn, version, **options)]

    assert (page(), page(gmf_only=True), page(after="50001"), page(limit=1)) == (
        ["50001", "50002"],
        ["50001"],
        ["50002"],
        ["50001"],
    )


def test_what_is_not_there_is_not_found(conn):
    version = reference.in_force(conn).version
    for read in (lambda: reference.resolve(conn, "none"), lambda: reference.code(conn, version, "99999")):
        with pytest.raises(NotFound) as caught:
            read()
        assert caught.value.reason is Reason.REFERENCE_NOT_FOUND
    assert snapshots.shipped() is shipped()
