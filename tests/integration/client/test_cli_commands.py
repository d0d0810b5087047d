"""The commands against a fake server."""

from __future__ import annotations

import json
import re

import grpc
import pytest
from fake_server import RUN_ID, progress, rich_status, terminal

from facnet_cli.app import COMMANDS, GROUPS
from facnet_cli.errors import ExitCode
from facnet_cli.system import System
from facnet_grpc.gen.facnet.v1 import money_pb2, result_pb2, validation_pb2
from facnet_grpc.gen.facnet.v1 import validation_service_pb2 as pb2

KEYS = [
    "rule_id",
    "rule_version",
    "scenario",
    "severity",
    "category",
    "certainty",
    "record_number",
    "affected_records",
    "ramq_ids",
    "doctor_key",
    "doctor",
    "patient_key",
    "service_date",
    "at_risk_cents",
    "potential_gain_cents",
    "data",
    "message",
    "solution",
]


def money(cents):
    return money_pb2.Money(currency_code="CAD", units=cents // 100, nanos=cents % 100 * 10_000_000)


def finding(number, at_risk=0, gain=0, severity=result_pb2.SEVERITY_ERROR):
    result = result_pb2.ValidationResult(
        rule_id="office_fee",
        rule_version="1",
        scenario="place",
        severity=severity,
        category="office_fees",
        certainty=result_pb2.CERTAINTY_LIKELY,
        record_number=number,
        affected_records=[number] if number else [],
        ramq_ids=["12345678901"] if number else [],
        doctor="Dr M***",
        service_date="2025-03-01",
        at_risk=money(at_risk),
        potential_gain=money(gain),
        message=f"Constat {number} à régler",
        solution="Corrigez.",
    )
    result.data.update({"required": 6})
    return result


@pytest.fixture
def loaded(fake):
    """A fake that knows a completed run with findings, rejected lines and the rest."""
    fake.validation.total_rows = 5000
    fake.validation.rejected_rows = 2
    fake.results = [finding(number, at_risk=number * 100) for number in range(1, 15)] + [finding(0, gain=3240)]
    fake.rejects = [
        pb2.RejectedRow(record_number=7, column="service_date", reason="bad_date", message="Date illisible.")
    ]
    fake.summary = pb2.GetValidationSummaryResponse(
        validation=fake.validation,
        at_risk=money(10_500),
        potential_gain=money(3240),
        scenarios=[
            pb2.ScenarioSummary(
                rule_id="office_fee",
                rule_name="Frais de bureau",
                scenario="place",
                title="Hors cabinet",
                severity=result_pb2.SEVERITY_ERROR,
                count=14,
                at_risk=money(10_500),
            ),
        ],
        not_evaluable=[pb2.NotEvaluable(rule_id="daily_limit", missing_columns=["units"])],
        rejections=[pb2.RejectionCount(reason="bad_date", column="service_date", count=2)],
        defects=[pb2.DefectCount(column="units", count=1)],
        reversal_rows=3,
    )
    fake.watches = [[progress(10), terminal()]]
    return fake


def normal(text):
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def test_run_prints_a_summary_in_french(facnet, loaded, claims):
    result = facnet("run", claims)
    text = normal(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    for part in (
        "5 000 lignes",
        "2 rejetées",
        "Frais de bureau · Hors cabinet",
        "erreur",
        "105,00 $",
        "Montant à risque : 105,00 $",
        "Gain possible : 32,40 $",
        "2 lignes rejetées : Date illisible.",
        "1 valeur illisible dans la colonne units",
        "Règle daily_limit non évaluée : il manque units.",
        "3 lignes à montant nul",
        "Constat 14 à régler",
        "ligne 14",
    ):
        assert part in text, part
    assert "Constat 5 à régler" not in text  # the eleventh dearest
    assert text.index("Constat 0") < text.index("Constat 14") < text.index("Constat 13")


def test_run_prints_a_summary_in_english(facnet, loaded, claims):
    result = facnet("run", claims, language="en")
    assert "5,000 lines" in result.stdout
    assert "Money at risk: $105.00" in result.stdout
    assert set(loaded.languages) == {"en-CA"}


def test_run_writes_every_result_as_json_lines(facnet, loaded, claims, tmp_path):
    out = tmp_path / "résultats.jsonl"
    result = facnet("run", claims, "--results", out, "--json")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(lines) == 15
    assert all(list(line) == KEYS for line in lines)
    assert lines[0]["severity"] == "error"
    assert lines[0]["certainty"] == "likely"
    assert lines[0]["at_risk_cents"] == 100
    assert repr(lines[0]["data"]) == "{'required': 6}"
    assert lines[-1]["record_number"] is None
    assert "à régler" in out.read_text("utf-8")
    told = json.loads(result.stdout)
    assert list(told) == ["validation", "summary", "dearest", "results_file"]
    assert told["validation"]["status"] == "COMPLETED"
    assert told["summary"]["at_risk_cents"] == 10_500
    assert "validation" not in told["summary"]
    assert [one["at_risk_cents"] for one in told["dearest"]][1:3] == [1400, 1300]
    assert list(tmp_path.glob(".*")) == []


def test_results_that_break_off_leave_the_old_file_alone(facnet, loaded, claims, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    loaded.ListValidationResults = lambda request, context: context.abort(grpc.StatusCode.INTERNAL, "x")
    assert facnet("run", claims, "--results", out).exit_code == ExitCode.BUG
    assert out.read_text() == "old"
    assert list(tmp_path.glob(".*")) == []


def test_run_says_why_a_file_failed(facnet, fake, claims):
    error = validation_pb2.RunError(code="NOT_A_CSV", message="Une image.", cure="Exportez en CSV.")
    fake.watches = [[terminal(validation_pb2.VALIDATION_STATUS_FAILED, error=error)]]
    result = facnet("run", claims)
    assert result.exit_code == ExitCode.RUN_FAILED
    assert "Une image." in result.stderr
    assert "Exportez en CSV." in result.stderr
    assert "NOT_A_CSV" in result.stderr


def test_a_cancelled_run_is_not_a_success(facnet, fake):
    fake.watches = [[terminal(validation_pb2.VALIDATION_STATUS_CANCELLED)]]
    result = facnet("watch", RUN_ID)
    assert result.exit_code == ExitCode.RUN_FAILED
    assert "annulée" in result.stderr


def test_submit_takes_several_files_and_standard_input(facnet, fake, claims):
    result = facnet(
        "submit",
        claims,
        "-",
        "--batch",
        "b",
        "--priority",
        "HIGH",
        "--label",
        "clinic=7",
        "--rule",
        "office_fee",
        "--webhook",
        "https://hooks.example.org/x",
        stdin="x;y\n",
    )
    assert result.exit_code == 0
    assert [header.file_name for header in fake.headers] == ["claims.csv", "stdin"]
    assert {header.batch_id for header in fake.headers} == {"b"}
    assert {header.webhook_url for header in fake.headers} == {"https://hooks.example.org/x"}
    assert fake.headers[1].priority == validation_pb2.PRIORITY_HIGH
    assert dict(fake.headers[0].labels) == {"clinic": "7"}
    assert result.stdout.count(RUN_ID) == 2


def test_submit_goes_on_after_a_file_that_is_not_there(facnet, fake, claims, tmp_path):
    result = facnet("submit", tmp_path / "nope.csv", claims, "--json")
    assert result.exit_code == ExitCode.BAD_INPUT
    assert json.loads(result.stderr)["error"]["reason"] == "FILE_NOT_FOUND"
    told = json.loads(result.stdout)
    assert list(told) == ["file", "validation_id", "job_id", "status"]
    assert told["status"] == "QUEUED"


def test_the_idempotency_key_reaches_the_server(facnet, fake, claims):
    assert facnet("submit", claims, "--idempotency-key", "once").exit_code == 0
    assert fake.headers[0].idempotency_key == "once"


def test_submit_can_wait_for_the_end(facnet, loaded, claims):
    result = facnet("submit", "--watch", claims, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["validation"]["status"] == "COMPLETED"


def test_watch_prints_one_line_of_json_a_state(facnet, loaded):
    result = facnet("watch", RUN_ID, "--json")
    states = [json.loads(line) for line in result.stdout.splitlines()]
    assert [state["percent"] for state in states] == [10, 100]
    assert states[-1]["status"] == "COMPLETED"


def test_watch_prints_how_it_ended(facnet, loaded):
    result = facnet("watch", RUN_ID, language="en")
    assert result.stdout == f"{RUN_ID}: completed, 0 results\n"
    assert result.stderr == ""


def test_list_stops_at_its_limit_unless_all_are_wanted(facnet, fake):
    fake.runs = [validation_pb2.Validation(validation_id=f"run{number}", file_name="x\x1b[1m") for number in range(120)]
    assert len(facnet("list").stdout.splitlines()) == 50
    assert len(facnet("list", "--limit", "3", "--json").stdout.splitlines()) == 3
    assert len(facnet("list", "--all").stdout.splitlines()) == 120
    facnet(
        "list", "--status", "failed", "--batch", "b", "--name", "x", "--from", "2025-03-01", "--before", "2025-04-01"
    )
    request = fake.requests[-1]
    assert list(request.statuses) == [validation_pb2.VALIDATION_STATUS_FAILED]
    assert request.HasField("created_from")
    assert request.HasField("created_before")


def test_an_empty_list_says_so_to_people_only(facnet, fake):
    assert facnet("list").stdout == "Aucune validation.\n"
    assert facnet("list", "--json").stdout == ""
    assert facnet("rejects", RUN_ID).stdout == "Aucune ligne rejetée.\n"
    assert facnet("results", RUN_ID, language="en").stdout == "Nothing found.\n"


def test_show_prints_the_run_and_its_figures(facnet, loaded):
    text = normal(facnet("show", RUN_ID).stdout)
    assert RUN_ID in text
    assert "Montant à risque : 105,00 $" in text
    told = json.loads(facnet("show", RUN_ID, "--json").stdout)
    assert told["summary"]["reversal_rows"] == 3
    assert told["validation"]["total_rows"] == 5000


def test_show_and_list_tell_what_is_expected_of_a_run_that_waits(facnet, fake):
    run = fake.validation
    run.status = validation_pb2.VALIDATION_STATUS_QUEUED
    fake.runs = [run]
    assert "Prévue" not in facnet("show", RUN_ID).stdout
    run.queue_position = 0
    assert "Prévue : la prochaine\n" in normal(facnet("show", RUN_ID).stdout)
    run.queue_position, run.eta.seconds = 3, 125
    assert "Expected: 3 ahead · 2 min 05 s left\n" in facnet("show", RUN_ID, language="en").stdout
    assert normal(facnet("list").stdout).endswith("claims.csv  3 avant · encore 2 min 05 s\n")
    told = json.loads(facnet("list", "--json").stdout)
    assert (told["queue_position"], told["eta_seconds"]) == (3, 125.0)


def test_show_tells_the_error_of_a_failed_run(facnet, fake):
    fake.validation.status = validation_pb2.VALIDATION_STATUS_FAILED
    fake.validation.error.code = "HEADER_ONLY"
    fake.validation.error.message = "Rien sous l'en-tête."
    assert "HEADER_ONLY" in facnet("show", RUN_ID).stdout
    told = json.loads(facnet("show", RUN_ID, "--json").stdout)
    assert told["summary"] is None
    assert told["validation"]["error"]["code"] == "HEADER_ONLY"


def test_results_are_filtered_by_the_server(facnet, loaded):
    result = facnet(
        "results", RUN_ID, "--json", "--severity", "error", "--rule", "r", "--from", "2025-03-01", "--limit", "2"
    )
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [list(line) for line in lines] == [KEYS, KEYS]
    request = loaded.requests[-1]
    assert (list(request.severities), list(request.rule_ids)) == ([result_pb2.SEVERITY_ERROR], ["r"])
    assert (request.service_date_from, request.page_size) == ("2025-03-01", 2)


def test_rejects_are_readable(facnet, loaded):
    assert "bad_date (service_date)  Date illisible." in facnet("rejects", RUN_ID).stdout
    assert json.loads(facnet("rejects", RUN_ID, "--json").stdout) == {
        "record_number": 7,
        "column": "service_date",
        "reason": "bad_date",
        "message": "Date illisible.",
    }


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        (grpc.StatusCode.NOT_FOUND, ExitCode.BAD_INPUT),
        (grpc.StatusCode.INVALID_ARGUMENT, ExitCode.BAD_INPUT),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ExitCode.REFUSED),
        (grpc.StatusCode.INTERNAL, ExitCode.BUG),
    ],
)
def test_errors_of_the_server_have_exit_codes(facnet, fake, code, exit_code):
    fake.refuse = rich_status(code, "SOME_REASON", "Un texte.", "Un remède.")
    result = facnet("show", RUN_ID)
    assert result.exit_code == exit_code
    assert result.stdout == ""
    assert result.stderr == "Erreur : Un texte.  [SOME_REASON]\n  Un remède.\n".replace(" :", "\N{NO-BREAK SPACE}:")
    told = json.loads(facnet("show", RUN_ID, "--json").stderr)["error"]
    assert (told["reason"], told["message"], told["cure"]) == ("SOME_REASON", "Un texte.", "Un remède.")


def test_a_server_that_is_not_there_is_named(facnet, claims):
    result = facnet("list", "--server", "127.0.0.1:1")
    assert result.exit_code == ExitCode.UNREACHABLE
    assert "127.0.0.1:1" in result.stderr
    assert "facnet dev" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lst"], "Vouliez-vous dire « list »?"),
        (["list", "--nope"], "L'option --nope n'existe pas."),
        (["submit"], "Il manque FICHIER."),
        (["submit", "--priority", "soon", "x"], "--priority, qui attend <low|normal|high>"),
        (["submit", "x", "--batch"], "L'option --batch exige une valeur."),
        (["watch", "a", "b"], "Argument en trop"),
        (["list", "--from", "hier"], "« hier » n'est pas un jour"),
        (["submit", "x", "--label", "y"], "CLÉ=VALEUR"),
        (["submit", "x", "y", "--name", "z"], "un seul fichier"),
        (["list", "--lang", "de"], "--lang, qui attend <fr|en>"),
        (["watch"], "une validation ou un lot, mais pas les deux"),
        (["watch", "x", "--batch", "y"], "une validation ou un lot, mais pas les deux"),
        (["export", "x", "out.xls"], "« out.xls »"),
        (["reference", "import", "{claims}"], "--kind codes, establishments ou contexts"),
    ],
)
def test_usage_errors_are_said_in_french(facnet, claims, arguments, said):
    result = facnet(*(word.format(claims=claims) for word in arguments))
    assert result.exit_code == ExitCode.USAGE
    assert said in normal(result.stderr)


def test_usage_errors_are_json_for_programs(facnet):
    told = json.loads(facnet("list", "--nope", "--json").stderr)["error"]
    assert (told["reason"], told["cure"]) == ("USAGE", "Voir\N{NO-BREAK SPACE}: facnet list --help")


def test_a_defect_shows_its_class_and_nothing_else(facnet, fake, monkeypatch):
    def broken(self, validation_id):
        raise KeyError("somebody's name")

    monkeypatch.setattr("facnet_client.client.FacnetClient.get", broken)
    result = facnet("show", RUN_ID)
    assert result.exit_code == ExitCode.BUG
    assert "KeyError" in result.stderr
    assert "somebody" not in result.stderr


@pytest.mark.parametrize(
    ("language", "words"),
    [("fr", ("Emploi", "Codes de sortie", "Commandes")), ("en", ("Usage:", "Exit codes", "Commands"))],
)
def test_help_is_whole_in_both_languages(facnet, language, words):
    text = facnet("--help", language=language).stdout
    assert all(word in text for word in words)
    assert "130" in text
    assert all(f" {command} " in text for command in (*COMMANDS, *GROUPS))


@pytest.mark.parametrize("language", ["fr", "en"])
def test_the_help_of_every_command_is_translated(facnet, language):
    commands = [(command,) for command in COMMANDS]
    commands += [(group, command) for group, members in GROUPS.items() for command in ((), *members)]
    for command in commands:
        page = facnet(*filter(None, command), "--help", language=language).stdout
        assert not re.search(r"\b(help|metavar|title)\.[a-z]", page), command
        assert "--json" in page or command[-1] == ()


def test_the_version_is_told(facnet):
    assert facnet("--version").stdout.startswith("facnet 0.")


def test_no_arguments_give_the_help(facnet):
    result = facnet()
    assert result.exit_code == ExitCode.USAGE
    assert "Emploi" in result.output


@pytest.mark.parametrize(
    ("arguments", "passed"),
    [
        (["serve", "--listen", "127.0.0.1:1"], ["serve", "--listen", "127.0.0.1:1"]),
        (["dev", "--ephemeral"], ["dev", "--ephemeral"]),
        (["migrate"], ["migrate"]),
        (["worker"], ["worker"]),
        (["inspect", "x.csv"], ["inspect", "--", "x.csv"]),
        (["inspect", "x.csv", "--delimiter", ";"], ["inspect", "--delimiter", ";", "--", "x.csv"]),
        (["sample", "10", "x.csv", "--seed", "4"], ["sample", "10", "x.csv", "--seed", "4"]),
    ],
)
def test_commands_of_the_service_replace_this_process(facnet, arguments, passed):
    commands = []

    def replace_process(command):
        commands.append(command)
        raise SystemExit(0)

    facnet(*arguments, system=System(replace_process=replace_process, is_installed=lambda module: True))
    (command,) = commands
    assert command[1:3] == ["-m", "facnet_grpc"]
    assert [word for word in command[3:] if word not in ("--lang", "fr")] == passed


def test_a_command_that_needs_more_says_what_to_install(facnet):
    result = facnet("serve", system=System(is_installed=lambda module: False))
    assert result.exit_code == ExitCode.CONFIGURATION
    assert 'pip install "facnet-grpc[server]"' in result.stderr
