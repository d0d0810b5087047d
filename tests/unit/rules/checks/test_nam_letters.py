"""The four letters of a name: the quick way and the whole way agree on every name."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from facnet_grpc.rules.checks.nam import letters_of_names, nam_letters

NAME = st.text(st.sampled_from("ABZÉé-', ax\u0301ß1"), max_size=9)


@given(st.lists(st.none() | NAME, max_size=8), st.integers(0, 3))
@example(["TREMBLAY, ANNE", "ROY, É", "LI, BO", "O'NEIL, PAT", ",", "ABC,  D", None], 0)
def test_names_that_are_plain_need_no_normalising(names, skip):
    part = pa.array(names, pa.string()).slice(skip)
    whole = [letters and letters.encode() for letters in nam_letters(part).to_pylist()]
    quick = [int(number).to_bytes(4, "little") if number else None for number in letters_of_names(part)]
    assert quick == whole
