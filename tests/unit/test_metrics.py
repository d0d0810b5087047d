import re

from prometheus_client import REGISTRY, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from facnet_grpc import metrics

COLLECTORS = {name: value for name, value in vars(metrics).items() if isinstance(value, MetricWrapperBase)}
# Labels that have few values whatever callers do. A run, an owner or a file name is none of them.
CLOSED = {
    "grpc_service",
    "grpc_method",
    "grpc_type",
    "grpc_code",
    "status",
    "phase",
    "reason",
    "rule",
    "severity",
    "kind",
    "queue_name",
    "actor_name",
    "channel",
    "outcome",
    "chore",
    "periodic_job",
}


def test_labels_come_from_closed_sets():
    assert {label for collector in COLLECTORS.values() for label in collector._labelnames} <= CLOSED


def test_names_say_what_they_are():
    for collector in COLLECTORS.values():
        (family,) = collector.describe()
        assert re.fullmatch(r"(facnet|grpc_server|dramatiq)_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.type != "histogram" or family.name.endswith("_seconds")


def test_each_is_offered_once():
    page = generate_latest(REGISTRY).decode()

    for collector in COLLECTORS.values():
        (family,) = collector.describe()
        assert len(re.findall(rf"^# TYPE {family.name}(_total)? {family.type}$", page, re.MULTILINE)) == 1


def test_a_label_has_only_so_many_values():
    seen = set()
    assert [metrics.label(value, seen, 2) for value in "abcab"] == ["a", "b", metrics.OTHER, "a", "b"]
    assert metrics.rule_label("office_fee") == "office_fee"
