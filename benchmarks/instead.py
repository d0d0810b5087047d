"""What one would do without the service: a script with polars or DuckDB that reads a file and computes two rules.

Office fees per doctor and day, and periodic visits per doctor, patient and year; parsed with their types, nothing
stored, no bad line survived, no line explained. Each runs in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.figures import Figure

_POLARS = """
import io, sys, polars as pl
text = open(sys.argv[1], encoding="cp1252", newline="").read().encode()
lines = pl.read_csv(io.BytesIO(text), separator=";", infer_schema=False, quote_char=None).select(
    day=pl.col("Date de Service").str.to_date(), code=pl.col("Code").str.zfill(5),
    cents=(pl.col("Montant Preliminaire").str.replace(",", "").cast(pl.Int64)),
    paid=(pl.col("Montant payé").str.replace(",", "").cast(pl.Int64, strict=False)),
    doctor=pl.col("Doctor Info").str.slice(0, 7), patient=pl.col("Patient").str.split(" - ").list.first(),
    context=pl.col("Élement de contexte").fill_null(""), place=pl.col("Lieu de pratique").fill_null(""),
).filter(pl.col("cents") > 0)
walk_in = pl.col("context").str.contains("G160|AR")
fee = pl.col("code").is_in(["19928", "19929"])
days = lines.group_by("doctor", "day").agg(
    registered=pl.col("patient").filter(~fee & ~walk_in & pl.col("place").str.starts_with("5")).n_unique(),
    walk_ins=pl.col("patient").filter(~fee & walk_in & pl.col("place").str.starts_with("5")).n_unique(),
    fees=fee.sum(), high=(pl.col("code") == "19929").sum())
bad = days.filter((pl.col("fees") > 0) & (
    (pl.col("registered") < pl.when(pl.col("high") > 0).then(12).otherwise(6))
    & (pl.col("walk_ins") < pl.when(pl.col("high") > 0).then(20).otherwise(10))))
visits = lines.filter(pl.col("code").is_in(["15819", "15820", "15839", "15840"]))
twice = visits.group_by("doctor", "patient", pl.col("day").dt.year()).len().filter(pl.col("len") > 1)
print(len(bad), len(twice))
"""

_DUCKDB = """
import sys, tempfile, duckdb
db = duckdb.connect()
with tempfile.NamedTemporaryFile(suffix=".csv") as utf8:  # its reader wants UTF-8
    utf8.write(open(sys.argv[1], encoding="cp1252", newline="").read().encode())
    utf8.flush()
    db.execute('''CREATE TABLE lines AS SELECT "Date de Service"::DATE AS day, lpad("Code", 5, '0') AS code,
        replace("Montant Preliminaire", ',', '')::BIGINT AS cents, "Doctor Info"[1:7] AS doctor,
        split_part("Patient", ' - ', 1) AS patient, coalesce("Élement de contexte", '') AS context,
        coalesce("Lieu de pratique", '') AS place
        FROM read_csv(?, delim=';', all_varchar=true, header=true) WHERE cents > 0''', [utf8.name])
bad = db.execute('''SELECT count(*) FROM (SELECT doctor, day,
    count(DISTINCT patient) FILTER (code NOT IN ('19928','19929') AND context NOT SIMILAR TO '.*(G160|AR).*'
        AND place LIKE '5%') AS r,
    count(DISTINCT patient) FILTER (code NOT IN ('19928','19929') AND context SIMILAR TO '.*(G160|AR).*'
        AND place LIKE '5%') AS w,
    count(*) FILTER (code IN ('19928','19929')) AS fees, count(*) FILTER (code = '19929') AS high
    FROM lines GROUP BY 1, 2) WHERE fees > 0 AND r < if(high > 0, 12, 6) AND w < if(high > 0, 20, 10)''').fetchone()
twice = db.execute('''SELECT count(*) FROM (SELECT 1 FROM lines WHERE code IN ('15819','15820','15839','15840')
    GROUP BY doctor, patient, year(day) HAVING count(*) > 1)''').fetchone()
print(bad[0], twice[0])
"""


def figures(file: Path) -> list[Figure]:
    """Measure both with `file`: time of the whole script, and its peak memory."""
    return [
        figure for name, script in (("polars", _POLARS), ("duckdb", _DUCKDB)) for figure in _run(name, script, file)
    ]


def _run(name: str, script: str, file: Path) -> list[Figure]:
    peak = "print(next(int(line.split()[1]) * 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    began = time.perf_counter()
    process = subprocess.run([sys.executable, "-c", script + peak, file], check=True, capture_output=True, text=True)
    taken = time.perf_counter() - began
    label = f"instead: {name} {version(name)}, two rules, nothing stored"
    return [Figure(label, taken, "s"), Figure(f"{label}: memory", int(process.stdout.split()[-1]) / 1e6, "MB")]
