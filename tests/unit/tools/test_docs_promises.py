"""What the hand-written pages name is there: links, headings, make targets, commands, files, settings, Python names."""

import ast
import re
from pathlib import Path

import docs_markdown
import pytest

import facnet_client
from facnet_cli.app import COMMANDS, GROUPS
from facnet_client import values
from facnet_grpc.settings import Settings
from facnet_grpc.settings.environment import variable

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
IDS = [str(path.relative_to(ROOT)) for path in PAGES]
CLIENT = {"FACNET_TOKEN", "FACNET_TOKEN_FILE", "FACNET_TLS", "FACNET_CA", "FACNET_CERT", "FACNET_KEY"}
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
        {variable(name) for name in Settings.model_fields}
        | {"FACNET_SERVER", "FACNET_DEBUG", "FACNET_FAULTS", "FACNET_FAULTS_STATE"}
        | CLIENT
    )

    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) - targets == set()
    assert set(re.findall(r"(?:^|`)facnet ([a-z]+)", text, re.MULTILINE)) - commands == set()
    assert set(re.findall(r"\bFACNET_[A-Z_]+\b", text)) - settings == set()


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(name):
    paths = re.findall(
        r"`((?:protos|facnet_grpc|workers|clients|tests|tools|docs|benchmarks)/[^`*<>{} ]*)",
        (ROOT / name).read_text(),
    )

    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_package_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    folders = [
        path.parent.relative_to(ROOT)
        for package in ("facnet_grpc", "workers")
        for path in (ROOT / package).glob("*/__init__.py")
    ]

    assert [str(folder) for folder in folders if f"`{folder}/" not in text] == []


def test_the_example_in_python_uses_what_there_is():
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
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
