"""Every case of every shipped check, and that no check goes without."""

from collections import Counter
from pathlib import Path

import pytest

from facnet_grpc.model.result import Certainty, Severity
from facnet_grpc.reference.snapshot import shipped as shipped_reference
from facnet_grpc.rules.checks import cases
from facnet_grpc.rules.checks.packs import entries, load_checks, test_pack, validate_pack
from facnet_grpc.rules.checks.schema import LANGUAGES, Status

CHECKS = load_checks().checks
EVALUATED = [check for check in CHECKS if check.tests]
CASES = [(check, case) for check in EVALUATED for case in cases.of_check(check)]
PACKS = sorted({check.path for check in CHECKS})


def test_cases():
    failures = [
        f"{check.path.name}:{case.line}: {case.title}: {failure}"
        for check, case in CASES
        if (failure := case.failure(shipped_reference()))
    ]

    assert failures == []


def test_every_check_has_a_hit_for_each_scenario_a_miss_and_one_that_cannot_be_evaluated():
    for check in EVALUATED:
        own = [case for one, case in CASES if one is check]
        kinds = {case.kind for case in own}

        assert {found.scenario for case in own for found in case.expected} == {test.scenario for test in check.tests}
        assert "miss" in kinds, check.id
        assert "not_evaluable" in kinds or not any(test.needs for test in check.tests), check.id


def test_there_are_as_many_checks_as_the_catalogue_has():
    assert Counter(check.status for check in CHECKS) == {
        Status.ON: 105,
        Status.COVERED: 5,
        Status.NOT_EVALUABLE: 2,
    }


def test_every_check_has_a_source_and_a_name_in_both_languages():
    for check in CHECKS:
        assert check.source, check.id
        assert set(check.names) == set(LANGUAGES)
        assert all(check.names.values()), check.id
        assert check.note or check.status is Status.ON, check.id  # the others say why


def test_what_is_only_likely_is_never_an_error():
    for check in EVALUATED:
        for test in check.tests:
            certainty = test.certainty or check.certainty
            assert certainty is Certainty.CERTAIN or test.severity is not Severity.ERROR, check.id


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.name)
def test_shipped_packs_pass_what_users_run_on_theirs(path, tmp_path):
    """A user's copy under other ids: the same checks beside the shipped ones."""
    copy = Path(tmp_path / path.name)
    copy.write_text(path.read_text(encoding="utf-8").replace('\nid = "', '\nid = "my_'), encoding="utf-8")

    assert validate_pack(copy) == ()
    report = test_pack(copy)
    assert report.ok, report.failures
    assert report.passed == sum(1 for check, _ in CASES if check.path == path)


def test_every_scenario_has_texts_that_the_catalogues_could_take():
    for locale in LANGUAGES:
        texts = entries(locale)
        for check in EVALUATED:
            for test in check.tests:
                for part in ("title", "message", "solution"):
                    assert texts[f"{check.id}.{test.scenario}.{part}"]
            assert texts[f"{check.id}.name"]
