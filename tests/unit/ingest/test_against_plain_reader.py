"""The reader and a slow, plain one say the same of any file, whatever the blocks."""

import io

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from plain_reader import blank_lines
from plain_reader import read as plain_read

from facnet_grpc.ingest.options import ReadOptions
from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.sample.cells import SampleDialect
from facnet_grpc.sample.writer import write_sample

COLUMNS = ("Date de Service", "Code", "Montant Preliminaire", "Doctor Info", "Patient", "Début", "Facture", "Autre")
CELLS = (
    ("2025-02-26", "2025/02/26", "2025-02-26 00:00:00", "2025-02-30", "", "hier", "Total"),
    ("15804", "8857", "", "15a04", " 19928 "),
    ("47,05", "47.05", "1 234,50 $", "-12,00", "", "n/a"),
    ("1234567-00001 | Béla, Zoé - Médecine", "", "Zoé", "1234567-00001 | Béla; Zoé - X"),
    ("BELZ75520112 - BÉLA, ZOÉ", "", "BELZxxxx0112 - Béla, Zoé", "BELZ75520112", "belz75520112 - O'Né  ", "Zoé"),
    ("09:30", "9:30", "0930", "", "25:00", "Total"),
    ("400000001", "", "a\u00a0", 'le "grand" cru', 'x"y', "a;b", "a\nb", "a\r\nb", "é", "Total général"),
    ("", "peu importe", '"', 'a"'),
)


def quoted(cell: str, delimiter: str) -> str:
    needs = any(mark in cell for mark in (delimiter, '"', "\n", "\r"))
    return '"' + cell.replace('"', '""') + '"' if needs else cell


@st.composite
def claim_files(draw):
    delimiter = draw(st.sampled_from(";,\t|"))
    end = draw(st.sampled_from(["\r\n", "\n", "\r"]))
    order = draw(st.permutations(range(len(COLUMNS))))

    def good_line():
        cells = [draw(st.sampled_from(CELLS[number])) for number in order]
        return delimiter.join(quoted(cell, delimiter) for cell in cells)

    def usual_line():
        return delimiter.join(quoted(CELLS[number][0], delimiter) for number in order)

    def odd_line():
        return draw(
            st.sampled_from(
                [
                    "",
                    "   ",
                    delimiter * 7,
                    delimiter * 3,
                    f"Total{delimiter}12,00",
                    f"{delimiter}{delimiter} sous-total",
                    f"a{delimiter}b",
                    usual_line() + delimiter + "x",
                    '"' + usual_line(),
                    usual_line().replace("15804", '"15804'),
                    usual_line().replace("15804", '"15"804'),
                    usual_line().replace("400000001", 'x"'),
                ],
            ),
        )

    kinds = draw(st.lists(st.sampled_from([good_line, usual_line, usual_line, odd_line]), min_size=1, max_size=25))
    lines = [usual_line(), *(kind() for kind in kinds)]
    header = delimiter.join(COLUMNS[number] for number in order)
    return header + end + end.join(lines) + draw(st.sampled_from(["", end])), delimiter


def read(raw: bytes, block_bytes: int, **options):
    accepted, rejected, defects, counts, blank = [], [], {}, {}, 0
    with open_claims(lambda: io.BytesIO(raw), len(raw), ReadOptions(block_bytes=block_bytes, **options)) as file:
        for batch in file.batches():
            accepted += batch.lines.to_pylist()
            blank += batch.blank_rows
            rejected += [tuple(row.values()) for row in batch.rejected.to_pylist()]
            for column, count in batch.defects.items():
                defects[column] = defects.get(column, 0) + count
            for cause, count in batch.rejected_counts.items():
                counts[cause] = counts.get(cause, 0) + count
    return accepted, rejected, defects, counts, blank


@settings(max_examples=250, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    file=claim_files(),
    encoding=st.sampled_from(["cp1252", "utf-8", "utf-8-sig", "utf-16"]),
    block_bytes=st.sampled_from([7, 64, 200, 1 << 20]),
)
def test_same_lines_rejects_and_defects(file, encoding, block_bytes):
    text, delimiter = file
    accepted, rejected, defects, counts, blank = read(
        text.encode(encoding),
        block_bytes,
        delimiter_hint=delimiter,
    )
    want_accepted, want_rejected, want_defects = plain_read(text, delimiter)
    filled = [{key: value for key, value in line.items() if key in want_accepted[0]} for line in accepted]
    assert filled == want_accepted
    assert rejected == want_rejected
    assert defects == want_defects
    assert sum(counts.values()) == len(want_rejected)
    assert blank == blank_lines(text, delimiter, len(want_accepted) + len(want_rejected))


@pytest.mark.parametrize("dialect", [
    SampleDialect(),
    SampleDialect(encoding="utf-8", delimiter=",", line_end="\n"),
    SampleDialect(encoding="utf-16", delimiter="\t", decimal_mark="."),
    SampleDialect(encoding="utf-8-sig", delimiter="|", line_end="\r", date_format="%Y/%m/%d"),
])  # fmt: skip
def test_a_sample_file_in_any_dialect(dialect):
    out = io.BytesIO()
    write_sample(1500, out, dialect=dialect, bad_share=0.1)
    text = out.getvalue().decode(dialect.encoding)
    accepted, rejected, defects, *_ = read(out.getvalue(), 1 << 14)
    mark = dialect.decimal_mark
    assert (accepted, rejected, defects) == plain_read(text, dialect.delimiter, mark=mark)
