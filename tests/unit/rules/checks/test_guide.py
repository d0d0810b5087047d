"""What texts name is there, and what the guide shows works."""

import json
import re
from datetime import date
from pathlib import Path

from facnet_grpc.reference.snapshot import shipped as shipped_reference
from facnet_grpc.rules.checks import cases
from facnet_grpc.rules.checks.compile import CheckRule
from facnet_grpc.rules.checks.loader import COMMON_FACTS
from facnet_grpc.rules.checks.packs import for_run, load_checks, test_pack
from facnet_grpc.rules.checks.schema import PRIMITIVES

GUIDE = Path(__file__).parents[4] / "docs" / "howto" / "write-a-check.md"
EVALUATED = [check for check in load_checks().checks if check.tests]
PLACEHOLDER = re.compile(r"\{(\w+)\}")
BLOCK = re.compile(r"```toml\n(.*?)```", re.DOTALL)


def test_every_fact_that_a_text_names_is_in_the_result():
    unknown = set()
    for check in EVALUATED:
        (rule,) = for_run([CheckRule.of(check)], check.cases.today or date(2025, 6, 30))
        for case in cases.of_check(check):
            for row in rule.evaluate(cases.table(case.rows), shipped_reference()).findings.to_pylist():
                data = json.loads(row["data"])
                known = COMMON_FACTS | set(data) | {name.removesuffix("_cents") for name in data}
                for language in ("fr", "en"):
                    text = check.texts[row["scenario"], language]
                    named = set(PLACEHOLDER.findall(text.message + text.solution))
                    unknown |= {(check.id, row["scenario"], language, name) for name in named - known}

    assert unknown == set()


def test_the_guides_check_passes_its_own_cases(tmp_path):
    blocks = BLOCK.findall(GUIDE.read_text(encoding="utf-8"))
    pack = tmp_path / "clinic.toml"
    pack.write_text(blocks[0] + blocks[1], encoding="utf-8")

    report = test_pack(pack)

    assert report.failures == ()
    assert report.passed == 3


def test_the_guide_lists_every_primitive_as_it_is():
    text = GUIDE.read_text(encoding="utf-8")

    for name, primitive in PRIMITIVES.items():
        (row,) = (line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        _, doc, parameters, facts = row.strip("| ").split(" | ")
        assert doc == primitive.__doc__
        assert [f"`{key}`" for key in primitive.parameters()] == re.findall(r"`\w+`", parameters)
        assert [f"`{fact}`" for fact in primitive.facts] == re.findall(r"`\w+`", facts)


def test_every_primitive_is_used_by_a_shipped_check():
    assert {test.primitive for check in EVALUATED for test in check.tests} == set(PRIMITIVES)
