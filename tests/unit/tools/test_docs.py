"""The generated pages are made of what they should be, and a stale one is found out."""

from pathlib import Path

import docs_api
import docs_cli
import docs_errors
import docs_layers
import docs_markdown
import docs_rules
import docs_settings
import docs_states
import pytest

import docs
from facnet_grpc.errors import Conflict, NotFound, Reason, TerminalError
from facnet_grpc.model.run import TRANSITIONS, RunStatus
from facnet_grpc.settings import groups
from facnet_grpc.settings.environment import variable
from facnet_grpc.texts.language import Locale

ROOT = Path(__file__).parents[3]


def test_pages_are_written_and_then_fresh(tmp_path):
    pages = {"docs/a.md": lambda _: "a\n\n", "docs/b/c.md": lambda _: "c"}

    assert docs.refresh(tmp_path, pages, check=False) == (["docs/a.md", "docs/b/c.md"], {})
    assert docs.refresh(tmp_path, pages, check=True) == ([], {})
    assert (tmp_path / "docs/a.md").read_text() == "a\n"


def test_a_check_writes_nothing(tmp_path):
    assert docs.refresh(tmp_path, {"a.md": lambda _: "a"}, check=True) == (["a.md"], {})
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_made_leaves_the_others_alone(tmp_path):
    def fail(_):
        raise ValueError("not there yet")

    assert docs.refresh(tmp_path, {"a.md": fail, "b.md": lambda _: "b"}, check=False) == (
        ["b.md"],
        {"a.md": "ValueError: not there yet"},
    )


@pytest.mark.parametrize(
    ("stale", "failed", "arguments", "status"),
    [
        ([], {}, ["--check"], 0),
        (["a.md"], {}, ["--check"], 1),
        ([], {"a.md": "why"}, ["--check"], 1),
        (["a.md"], {"b.md": "why"}, [], 0),
    ],
)
def test_only_a_check_fails(monkeypatch, capsys, stale, failed, arguments, status):
    monkeypatch.setattr(docs, "refresh", lambda *_, check: (stale, failed))

    assert docs.main(arguments) == status
    assert [name for name in stale if name not in capsys.readouterr().out] == []


def test_settings_page_has_every_setting():
    page = docs_settings.page()

    assert [name for fields in groups().values() for name in fields if f"`{variable(name)}`" not in page] == []
    assert "| `FACNET_MAX_FILE_BYTES` | `2147483648` (2 GiB) |" in page
    assert "| `FACNET_RULE_PACKS_DIR` |  |" in page


def test_states_are_drawn_between_the_markers():
    text = docs_states.insert("before\n<!-- states: made from a table -->\nold\n<!-- /states -->\nafter\n")

    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("-->\n") + text.count(" --> ") >= sum(map(len, TRANSITIONS.values()))
    assert all(f"    {status} --> {target}\n" in text for status in RunStatus for target in TRANSITIONS[status])
    assert docs_states.insert(text) == text


def test_layers_are_listed_with_importers_first(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        """
[[tool.importlinter.contracts]]
type = "layers"
containers = ["shop"]
layers = ["main", "orders | stock", "model"]

[[tool.importlinter.contracts]]
type = "forbidden"
source_modules = ["shop"]
forbidden_modules = ["bank"]

[[tool.importlinter.contracts]]
type = "layers"
containers = ["warehouse"]
layers = ["door", "shelf"]
""",
    )

    text = docs_layers.insert("a\n<!-- layers: made from a contract -->\n<!-- /layers -->\nz\n", tmp_path)

    assert text == (
        "a\n<!-- layers: made from a contract -->\n"
        "```text\nshop       main → orders | stock → model\nwarehouse  door → shelf\n```\n"
        "<!-- /layers -->\nz\n"
    )


def test_a_page_without_markers_is_not_guessed_at():
    with pytest.raises(ValueError, match="markers"):
        docs_states.insert("no markers")


def test_errors_page_has_every_reason_in_both_languages():
    page = docs_errors.page(ROOT)

    assert [reason for reason in Reason if f"## {reason}\n" not in page] == []
    assert page.count("- fr-CA: ") == page.count("- en-CA: ") == len(Reason)


def test_raise_sites_are_found():
    source = """
raise errors.NotFound(Reason.UPLOAD_NOT_FOUND, upload_id="x")
raise Conflict()
Conflict(variable)
TerminalError(Reason.NOT_A_CSV) if x else print("y")
"""
    assert list(docs_errors.calls(source)) == [
        (NotFound, Reason.UPLOAD_NOT_FOUND),
        (Conflict, Reason.WRONG_STATE),
        (TerminalError, Reason.NOT_A_CSV),
    ]


def test_api_page_has_calls_fields_and_values():
    page = docs_api.page(ROOT)

    assert "### SubmitValidation\n" in page
    assert "stream of [SubmitValidationRequest](#submitvalidationrequest) → " in page
    assert "→ stream of [WatchValidationResponse]" in page
    assert "| `labels` | map of string to string |" in page
    assert "| `size_bytes` | optional int64 |" in page
    assert "| `results` | repeated [ValidationResult](#validationresult) |" in page
    assert "| `create_time` | `google.protobuf.Timestamp` |" in page
    assert "| `ERROR_REASON_INTERNAL` | 1 |" in page


def test_commands_are_read_from_a_help_text():
    text = """
 Usage: facnet [OPTIONS] COMMAND [ARGS]...

╭─ Arguments ──────╮
│ file   FILE      │
╰──────────────────╯
╭─ Options ────────╮
│ --help           │
╰──────────────────╯
╭─ Files ──────────╮
│ run      Check a │
│          file.   │
│ re-run           │
╰──────────────────╯
╭─ Commands ───────╮
│ dev              │
╰──────────────────╯
"""
    assert docs_cli.subcommands(text) == ["run", "re-run", "dev"]


def test_cells_do_not_break_tables():
    assert docs_markdown.table(("a",), [("x | y\nz",)]) == ["| a |", "| --- |", r"| x \| y z |", ""]
    assert docs_markdown.table(("a",), []) == []
    assert docs_markdown.anchor("facnet run `x`!") == "#facnet-run-x"


def test_words_of_the_rules_page_are_in_both_languages():
    assert docs_rules.WORDS[Locale.FR].keys() == docs_rules.WORDS[Locale.EN].keys()
