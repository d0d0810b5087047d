"""The shipped reference: what the manual says, as it says it."""

from __future__ import annotations

from datetime import date

from facnet_grpc.reference.snapshot import ANYWHERE, CABINET, ESTABLISHMENT, CodeEntry, ReferenceSnapshot, shipped

TODAY = date(2025, 3, 3)


def test_what_is_shipped_is_whole():
    reference = shipped()
    assert sum(len(entries) for entries in reference.codes.values()) == 4476
    assert len(reference.contexts) > 180
    assert reference.contexts["1834"].ends_on == date(2022, 5, 14)
    assert reference.establishments == {}
    assert reference.version.startswith("2019-10-01-")
    assert shipped() is reference


def test_codes_are_five_digits_and_tariffs_are_cents():
    for code, entries in shipped().codes.items():
        assert len(code) == 5
        assert code.isdigit()
        assert all(entry.code == code and (entry.tariff_cents or 0) >= 0 for entry in entries)


def test_tab_a_is_known():
    tab = shipped().codes_of_tab("A")
    assert {"70017", "09099", "01098", "19953"} <= tab
    assert len(tab) == 14


def test_a_tariff_depends_on_the_place():
    reference = shipped()
    assert reference.tariff_cents("15819", CABINET, TODAY) == 9635
    assert reference.tariff_cents("15819", ESTABLISHMENT, TODAY) == 7265
    assert reference.tariff_cents("15188", CABINET, TODAY) == 2725
    assert reference.tariff_cents("99999", CABINET, TODAY) is None


def test_a_tariff_depends_on_the_day():
    def entry(cents, valid_from, place=CABINET):
        return CodeEntry("00001", place, cents, None, "B", "", valid_from)

    entries = (
        entry(200, date(2024, 1, 1)),
        entry(300, date(2025, 1, 1)),
        entry(100, date(2020, 1, 1)),
        entry(9, TODAY, ANYWHERE),
    )
    reference = ReferenceSnapshot("tests", codes={"00001": entries})
    days = (date(2019, 1, 1), date(2020, 1, 1), date(2023, 12, 31), date(2024, 12, 31), date(2025, 1, 1))
    assert [reference.tariff_cents("00001", CABINET, day) for day in days] == [100, 100, 100, 200, 300]
    assert reference.tariff_cents("00001", ESTABLISHMENT, TODAY) == 9
