"""Feeds the reader with what a coverage-guided fuzzer makes up: `make fuzz SECONDS=60`."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["facnet_grpc.ingest"]):
    from reader_target import HEADER, LINE, check

    from facnet_grpc.sample.cells import SampleDialect
    from facnet_grpc.sample.writer import write_sample

MOST_BYTES = 8192
SEEDS = (
    SampleDialect(),
    SampleDialect(encoding="utf-8", delimiter=",", line_end="\n"),
    SampleDialect(encoding="utf-16", delimiter="\t", decimal_mark="."),
    SampleDialect(encoding="utf-8-sig", delimiter="|", line_end="\r", date_format="%Y/%m/%d"),
)


def main() -> None:
    """Fuzz; options are those of libFuzzer."""
    with tempfile.TemporaryDirectory() as folder:
        for number, dialect in enumerate(SEEDS):
            sample = io.BytesIO()
            write_sample(5, sample, dialect=dialect, bad_share=0.2)
            Path(folder, str(number)).write_bytes(bytes([number]) + sample.getvalue())
        Path(folder, "quotes").write_bytes(
            b"\1" + HEADER + LINE.replace(b"15804", b'"158""04\n"') + b'\r\n";;\r\nTotal;1'
        )
        atheris.Setup([*sys.argv, f"-max_len={MOST_BYTES}", "-timeout=20", "-print_final_stats=1", folder], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
