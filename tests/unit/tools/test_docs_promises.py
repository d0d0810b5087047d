"""What hand-written pages name exists: links, headings, make targets, commands, paths, settings, metrics, events."""

import ast
import re
from pathlib import Path

import docs_markdown
import pytest
from prometheus_client.metrics import MetricWrapperBase

import facnet_client
from facnet_cli.app import COMMANDS, GROUPS
from facnet_client import values
from facnet_grpc import metrics
from facnet_grpc.settings import groups
from facnet_grpc.settings.environment import variable

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("clients/*/README.md")])
IDS = [str(path.relative_to(ROOT)) for path in PAGES]
CLIENT = {"FACNET_TOKEN", "FACNET_TOKEN_FILE", "FACNET_TLS", "FACNET_CA", "FACNET_CERT", "FACNET_KEY"}
PACKAGES = {"facnet_grpc", "facnet_client", "facnet_cli"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_links_lead_somewhere(page):
    broken = []
    for link in LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and f"#{anchor}" not in _anchors(target)):
            broken.append(link)

    assert broken == []


def _anchors(page):
    return {docs_markdown.anchor(title) for title in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_make_targets_commands_and_settings_exist(page):
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = COMMANDS.keys() | GROUPS.keys()
    settings = (
        {variable(name) for fields in groups().values() for name in fields}
        | {"FACNET_SERVER", "FACNET_DEBUG", "FACNET_FAULTS", "FACNET_FAULTS_STATE"}
        | CLIENT
    )

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) - targets == set()
    assert set(re.findall(r"(?:^|`)facnet ([a-z]+)", text, re.MULTILINE)) - commands == set()
    assert set(re.findall(r"\bFACNET_[A-Z_]+\b", text)) - settings == set()


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_paths_exist(page):
    paths = re.findall(
        r"`((?:protos|facnet_grpc|workers|clients|tests|tools|docs|benchmarks|deploy)/[^`*<>{} ]*)`", page.read_text()
    )

    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_metrics_exist(page):
    collectors = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    families = [family for collector in collectors for family in collector.describe()]
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    named = re.findall(r"`((?:facnet|dramatiq|grpc_server)_[a-z_]+)(\*?)`", page.read_text())

    assert [name for name, star in named if not star and name not in names | PACKAGES] == []
    assert [name for name, star in named if star and not any(known.startswith(name) for known in names)] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_log_events_exist(page):
    code = "".join(path.read_text() for name in ("facnet_grpc", "workers") for path in (ROOT / name).rglob("*.py"))
    lists = re.findall(r"\blog (?:event |has )?((?:`[a-z_]+`(?:, | or )?)+)", page.read_text())
    events = [event for group in lists for event in re.findall(r"`([a-z_]+)`", group)]

    assert [event for event in events if f'"{event}"' not in code] == []


def test_the_layout_has_a_row_for_every_package():
    rows = _rows("docs/architecture.md", "## Layout")
    packages = {
        path.parent.relative_to(ROOT)
        for top in ("facnet_grpc", "workers", "clients/python")
        for path in (ROOT / top).glob("**/__init__.py")
        if "gen/" not in str(path) and "versions" not in path.parts
    }
    modules = {path.relative_to(ROOT) for path in (ROOT / "facnet_grpc").glob("*.py") if path.name != "__init__.py"}

    assert sorted({f"{package}/" for package in packages} - set(rows)) == []
    assert sorted({str(module) for module in modules} - set(rows)) == []
    assert len(rows) == len(set(rows))


def test_every_decision_record_is_in_the_index():
    index = (ROOT / "docs/adr/README.md").read_text()
    listed = re.findall(r"^\| \[(\d+)\]\(([^)]+)\) \| ([^;|]+)", index, re.MULTILINE)
    records = {
        path.name: re.match(r"# (\d{4}) (.+)\n", path.read_text())
        for path in (ROOT / "docs/adr").glob("[0-9]*.md")
        if not path.name.startswith("0000")
    }

    assert {name: (int(number), title.strip()) for number, name, title in listed} == {
        name: (int(head[1]), head[2]) for name, head in records.items()
    }


def test_twenty_questions_of_a_newcomer_have_a_path():
    assert len(_rows("CONTRIBUTING.md", "## Where is …?", column=2)) >= 20


def _rows(page, heading, column=1):
    """The first path in a column of the table below a heading, row by row."""
    (section,) = re.findall(
        rf"^{re.escape(heading)}$(.*?)(?=^## |\Z)", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )
    cells = [line.split("|")[column] for line in section.splitlines() if line.startswith("|")]
    return [path[1] for cell in cells if (path := re.search(r"`([^`]+)`", cell))]


@pytest.mark.parametrize("page", ["README.md", "clients/python/README.md"])
def test_the_example_in_python_uses_what_there_is(page):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    known = {
        "client": dir(facnet_client.FacnetClient),
        "run": values.Submission.__annotations__,
        "update": values.Update.__annotations__,
        "result": values.Result.__annotations__,
    }
    used = [
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(example))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    ]

    assert used
    assert [(name, attribute) for name, attribute in used if attribute not in known[name]] == []


def test_modules_stay_within_the_limit_of_the_guide():
    (limit,) = re.findall(r"At most (\d+) lines per module", (ROOT / "CONTRIBUTING.md").read_text())
    modules = [
        path
        for top in ("facnet_grpc", "workers", "clients/python")
        for path in (ROOT / top).glob("**/*.py")
        if "gen" not in path.relative_to(ROOT).parts
    ]

    assert [str(path.relative_to(ROOT)) for path in modules if len(path.read_text().splitlines()) > int(limit)] == []
