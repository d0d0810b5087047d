"""Named queries are loaded with their fragments, and exactly those that the code names exist."""

import ast
from importlib.resources import files

import pytest

from facnet_grpc.model.run import TRANSITIONS, RunStatus
from facnet_grpc.storage.postgres.sql_loader import load


def test_fragments_are_put_in():
    runs = load("runs")
    assert "rule_set_version" in runs["select_run"]
    assert "run_columns" not in runs
    assert not any("{run_columns}" in text for text in runs.values())


def test_a_subject_that_is_not_there():
    with pytest.raises(FileNotFoundError):
        load("nothing")


PACKAGE = files("facnet_grpc.storage.postgres")
SUBJECTS = sorted(
    path.name.removesuffix(".sql")
    for path in PACKAGE.iterdir()
    if path.name.endswith(".sql") and path.name not in {"schema.sql", "shared.sql"}
)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_queries_that_a_module_names_are_those_of_its_file(subject):
    tree = ast.parse((PACKAGE / f"{subject}.py").read_text())
    used = [
        node.slice.value if isinstance(node.slice, ast.Constant) else ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "SQL"
    ]
    assert set(used) == set(load(subject))


def test_no_module_uses_the_queries_of_another():
    loads = {path.name: path.read_text().count("load(") for path in PACKAGE.iterdir() if path.name.endswith(".py")}
    del loads["sql_loader.py"]
    assert {f"{subject}.py": 1 for subject in SUBJECTS} == {name: count for name, count in loads.items() if count}
    assert not [path.name for path in PACKAGE.iterdir() if path.name.endswith(".py") and ".SQL[" in path.read_text()]


def test_changes_that_are_written_out_exist():
    """`release_run`, `request_cancel` and `requeue_expired` decide in SQL where a run goes."""
    assert RunStatus.CANCELLED in TRANSITIONS[RunStatus.PROCESSING]
    assert RunStatus.CANCELLED in TRANSITIONS[RunStatus.QUEUED]
    assert TRANSITIONS[RunStatus.PROCESSING] >= {RunStatus.QUEUED, RunStatus.FAILED}
    assert RunStatus.FAILED in TRANSITIONS[RunStatus.QUEUED]
