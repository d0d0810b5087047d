"""Health insurance numbers; every one of them is invented."""

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from facnet_grpc.rules.checks.nam import NO_DAY, Characters, Nams, nam_letters

EPOCH = date(1970, 1, 1)


def days(*dates):
    return np.array([(day - EPOCH).days for day in dates], np.int64)


def nams(*keys):
    return Nams.of(pa.array(keys, pa.string()))


def characters(*keys):
    return Characters(pa.array(keys, pa.string()))


@pytest.mark.parametrize(
    ("key", "well_formed", "masked"),
    [
        ("TREA80010111", True, False),
        ("TREA800101A3", True, False),
        ("TREAxxxx0112 TREMBLAY, ANNE", False, True),
        ("TREAXXXX0112 TREMBLAY, ANNE", False, True),
        ("trea80010113", False, False),
        ("TRÉA80010113", False, False),
        ("TREA8001011", False, False),
        ("TREA800101134", False, False),
        ("", False, False),
    ],
)
def test_forms(key, well_formed, masked):
    found = nams(key)

    assert (found.well_formed[0], found.masked[0]) == (well_formed, masked)


@pytest.mark.parametrize(
    ("key", "service", "born"),
    [
        ("TREA80010111", date(2025, 3, 3), date(1980, 1, 1)),
        ("TREA80510115", date(2025, 3, 3), date(1980, 1, 1)),  # a woman
        ("TREA24022916", date(2025, 3, 3), date(2024, 2, 29)),
        ("TREA26010113", date(2025, 3, 3), date(1926, 1, 1)),  # not 2026: as the check character says
        ("TREA23022913", date(2025, 3, 3), None),  # no leap year in either century
        ("TREA80130110", date(2025, 3, 3), None),
        ("TREA80010012", date(2025, 3, 3), None),
        ("TREAxxxx0112", date(2025, 3, 3), None),
    ],
)
def test_birth_days(key, service, born):
    found = nams(key).born(np.array([0]), days(service))

    assert found[0] == (NO_DAY if born is None else days(born)[0])


@pytest.mark.parametrize(
    ("key", "century"),
    [
        *[(key, 1900) for key in ("AAAA01010112", "BAAA01010113", "ZAAA01010112", "ABAA01010115", "LASF80021411")],
        *[(key, 2000) for key in ("AAAA01010110", "TREA16531510", "TREA10031518", "TREA18531516", "TREA26531511")],
    ],
)
def test_right_check_characters_tell_the_century(key, century):
    found = characters(key)

    assert found.check_fits(century)[0]
    assert not found.check_fits(3900 - century)[0]
    assert not nams(key).check_fails[0]


def test_a_wrong_check_character():
    assert nams("AAAA01010119").check_fails[0]


def test_one_check_character_of_ten_is_that_of_each_century():
    """Born on 2010-01-01 or on 1910-01-01 as the check character says; where it fits neither, the latest one."""
    keys = [f"TREA1001011{digit}" for digit in range(10)]
    found = nams(*keys)
    of_1910 = characters(*keys).check_fits(1900)
    of_2010 = characters(*keys).check_fits(2000)

    born = found.born(np.arange(10), days(*[date(2025, 3, 3)] * 10))

    assert of_1910.sum() == of_2010.sum() == 1
    assert of_1910.argmax() != of_2010.argmax()
    assert born[of_1910] == days(date(1910, 1, 1))
    assert set(born[~of_1910]) == set(days(date(2010, 1, 1)))
    assert found.check_fails.sum() == 8


def test_a_patient_is_not_born_after_the_service():
    """Of 2026 by the check character: as of 2025 no age is known."""
    found = nams("TREA26531511")

    assert found.born(np.array([0]), days(date(2025, 3, 3)))[0] == NO_DAY
    assert found.born(np.array([0]), days(date(2026, 11, 3)))[0] == days(date(2026, 3, 15))[0]


def test_the_check_digit_of_a_woman_differs_from_that_of_a_man():
    keys = [f"TREA80{month}011{digit}" for month in ("01", "51") for digit in range(10)]

    fits = characters(*keys).check_fits(1900)

    assert fits[:10].sum() == fits[10:].sum() == 1
    assert fits[:10].argmax() != fits[10:].argmax()


def test_dates_that_no_century_has_are_impossible():
    found = nams("TREA80130110", "TREA80010111", "TREAxxxx0112")

    assert found.impossible(np.arange(3), days(*[date(2025, 3, 3)] * 3)).tolist() == [True, False, False]


def test_letters_of_names():
    names = ["TREMBLAY, ANNE", "Chénier, Élise", "LY, ANNE", "ST-ONGE, ANNE", "TREMBLAY", ", ANNE", None]

    assert nam_letters(pa.array(names)).to_pylist() == ["TREA", "CHEE", "LYXA", "STOA", None, None, None]


def test_a_slice_of_a_dictionary_is_read_from_its_own_beginning():
    keys = pa.array(["GAGP75020213", "TREA80010111"])[1:]

    assert Nams.of(keys).born(np.array([0]), days(date(2025, 3, 3)))[0] == days(date(1980, 1, 1))[0]
