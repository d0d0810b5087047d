"""Dashboard and alerts speak of figures that there are, with labels that they have."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from facnet_grpc import metrics

ROOT = Path(__file__).parents[3]
DASHBOARD = json.loads((ROOT / "deploy/grafana/facnet.json").read_text())
ALERTS = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text())["groups"]
NAME = re.compile(r"\b(?:facnet|grpc_server|dramatiq|process|python)_[a-z_]+\b")
LABELS = re.compile(r"([a-z_]+)=~?\"|by \(([^)]*)\)")
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
OF_PROMETHEUS = {"le", "job", "instance"}


def known() -> dict[str, set[str]]:
    """Every name that a scrape may show, with the labels of each."""
    collectors = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    found = {
        f"{family.name}{suffix}": set(one._labelnames)
        for one in collectors
        for family in one.describe()
        for suffix in SUFFIXES[family.type]
    }
    found |= {
        sample.name: set() for family in REGISTRY.collect() for sample in family.samples if "process_" in sample.name
    }
    return found


KNOWN = known()
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
RULES = [rule for group in ALERTS for rule in group["rules"]]
EXPRESSIONS = [*QUERIES, *(rule["expr"] for rule in RULES)]
SELECTOR = re.compile(r"\{([^}]*)\}")


def names(expression: str) -> set[str]:
    """The metrics of an expression: what is in braces are labels and their values."""
    return set(NAME.findall(SELECTOR.sub("", expression)))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_exists(expression):
    assert names(expression) <= set(KNOWN)
    assert names(expression) or expression.startswith("up")


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_label_exists(expression):
    used = {label.strip() for one in LABELS.findall(expression) for part in one for label in part.split(",")} - {""}
    assert used <= OF_PROMETHEUS.union(*(KNOWN[name] for name in names(expression)))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_counters_are_only_seen_as_rates(expression):
    for name in names(expression):
        if name.endswith(("_total", "_bucket")):
            assert re.search(rf"(rate|increase)\({name}(\{{[^}}]*\}})?\[", expression)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_brackets_are_closed(expression):
    bare = re.sub(r'"[^"]*"', "", expression)
    assert all(bare.count(one) == bare.count(other) for one, other in ("()", "[]", "{}"))


FORMER_NAMES = {"facnet_chores", "facnet_chore_failing"}  # kept for one release


def test_the_dashboard_shows_every_figure_of_ours():
    shown = {name for expression in QUERIES for name in names(expression)}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    ours = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in KNOWN if not name.startswith("process_")}
    assert ours - FORMER_NAMES <= families


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_are_whole_and_say_where_to_look(rule):
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Facnet[A-Za-z]+", rule["alert"])
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["annotations"]["summary"].endswith(".")
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    page, _, anchor = rule["annotations"]["page"].partition("#")
    assert anchor in anchors(ROOT / page)


def test_each_alert_is_named_once():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
