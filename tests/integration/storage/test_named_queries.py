"""Every named query is understood by the real schema."""

import re
from importlib.resources import files

import pytest

from facnet_grpc.storage.postgres.sql_loader import load

SUBJECTS = sorted(
    path.name.removesuffix(".sql")
    for path in files("facnet_grpc.storage.postgres").iterdir()
    if path.name.endswith(".sql") and path.name != "schema.sql"
)
QUERIES = [(subject, name) for subject in SUBJECTS for name in load(subject)]


@pytest.mark.parametrize(("subject", "name"), QUERIES)
def test_it_can_be_prepared(database, subject, name):
    numbers: dict[str, int] = {}
    text = re.sub(
        r"%\((\w+)\)s",
        lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}",
        load(subject)[name],
    ).replace("%%", "%")
    with database.connection() as conn:
        conn.execute(f"PREPARE this AS {text}".encode(), prepare=False)
        conn.execute("DEALLOCATE this")


@pytest.mark.parametrize("subject", SUBJECTS)
def test_each_has_a_sentence_and_no_block_is_lost(subject):
    text = (files("facnet_grpc.storage.postgres") / f"{subject}.sql").read_text()
    assert text.count("-- name: ") == len(load(subject))
    assert all(line.startswith("-- ") for line in re.findall(r"^-- name: \w+\n(.*)$", text, re.MULTILINE))
