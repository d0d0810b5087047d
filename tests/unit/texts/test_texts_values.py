from datetime import date

import pytest

from facnet_grpc.texts.catalogue import listed, size
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.values import day, money, number

FR, EN = Locale.FR, Locale.EN
S = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("cents", "french", "english"),
    [
        (6480, f"64,80{S}$", "$64.80"),
        (0, f"0,00{S}$", "$0.00"),
        (5, f"0,05{S}$", "$0.05"),
        (123456789, f"1{S}234{S}567,89{S}$", "$1,234,567.89"),
        (-1200, f"-12,00{S}$", "-$12.00"),
        (10**17 + 1, f"1{S}000{S}000{S}000{S}000{S}000,01{S}$", "$1,000,000,000,000,000.01"),
    ],
)
def test_money(cents, french, english):
    assert (money(cents, FR), money(cents, EN)) == (french, english)


@pytest.mark.parametrize(
    ("value", "french", "english"),
    [
        (date(2025, 3, 1), f"1er{S}mars 2025", "March 1, 2025"),
        (date(2025, 2, 26), f"26{S}février 2025", "February 26, 2025"),
    ],
)
def test_day(value, french, english):
    assert (day(value, FR), day(value, EN)) == (french, english)


def test_number():
    assert (number(1234567, FR), number(1234567, EN)) == (f"1{S}234{S}567", "1,234,567")


@pytest.mark.parametrize(
    ("octets", "french", "english"),
    [
        (0, f"0{S}octets", f"0{S}bytes"),
        (1023, f"1{S}023{S}octets", f"1,023{S}bytes"),
        (1536, f"1,5{S}Kio", f"1.5{S}KiB"),
        (2 << 30, f"2{S}Gio", f"2{S}GiB"),
        (1 << 60, f"1{S}048{S}576{S}Tio", f"1,048,576{S}TiB"),
    ],
)
def test_size(octets, french, english):
    assert (size(octets, FR), size(octets, EN)) == (french, english)


def test_lists_are_joined_and_cut():
    assert listed([], FR) == ""
    assert listed(["a"], FR) == "a"
    assert listed(["a", "b", "c"], FR) == "a, b et c"
    assert listed(["a", "b", "c"], EN) == "a, b and c"
    assert listed([str(n) for n in range(1, 1012)], FR).endswith(f", 8, 9 et 1{S}002 autres")
