"""Compose file, proxy and Kubernetes manifests fit together and give every process the time that it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from facnet_grpc.__main__ import WORKER_MARGIN_SECONDS
from facnet_grpc.settings import Settings, groups
from facnet_grpc.settings.environment import variable

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OBJECTS = [
    one
    for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    for one in yaml.safe_load_all(path.read_text())
    if one["kind"] != "Kustomization"
]
NAMES = [name for fields in groups().values() for name in fields]
SETTINGS = set(map(variable, NAMES))
PROGRAMS = ("server", "worker")


def of(kind: str, name: str) -> dict:
    (found,) = [one for one in OBJECTS if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def pod(name: str) -> dict:
    return of("Deployment", f"facnet-{name}")["spec"]["template"]["spec"]


def shutdown_seconds(name: str, environment: dict) -> float:
    return float(environment["FACNET_SHUTDOWN_SECONDS"]) + (WORKER_MARGIN_SECONDS if name == "worker" else 0)


def test_every_setting_exists():
    composed = {
        name for service in ("server", "worker", "migrate") for name in COMPOSE["services"][service]["environment"]
    }
    assert composed | set(of("ConfigMap", "facnet")["data"]) <= SETTINGS


def test_the_settings_are_accepted():
    environment = dict(of("ConfigMap", "facnet")["data"])
    fields = {name: environment[variable(name)] for name in NAMES if variable(name) in environment}
    Settings.of(database_url="x", redis_url="x", pseudonym_key="x" * 32, blob_key="x" * 32, **fields)


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_is_killed_before_it_has_put_its_work_back(name):
    composed = COMPOSE["services"][name]
    assert int(composed["stop_grace_period"].removesuffix("s")) > shutdown_seconds(name, composed["environment"])
    hook = pod(name)["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    least = shutdown_seconds(name, of("ConfigMap", "facnet")["data"]) + hook
    assert pod(name)["terminationGracePeriodSeconds"] > least


@pytest.mark.parametrize("name", PROGRAMS)
def test_kubernetes_probes_the_page_that_the_process_has(name):
    (container,) = pod(name)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    first = int(of("ConfigMap", "facnet")["data"]["FACNET_METRICS_LISTEN"].rpartition(":")[2])
    assert ports["health"] == first + (name == "worker")
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_pods_are_locked_down(name):
    (container,) = pod(name)["containers"]
    assert pod(name)["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not pod(name)["automountServiceAccountToken"]
    assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_one_always_stays(name):
    labels = of("Deployment", f"facnet-{name}")["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert of(kind, f"facnet-{name}")["spec"]["selector"]["matchLabels"] == labels
    scaler = of("HorizontalPodAutoscaler", f"facnet-{name}")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"facnet-{name}"}
    assert 1 < scaler["minReplicas"] < scaler["maxReplicas"]
    assert of("PodDisruptionBudget", f"facnet-{name}")["spec"]["minAvailable"] >= 1


def test_workers_grow_with_the_age_of_the_queue():
    (metric,) = of("HorizontalPodAutoscaler", "facnet-worker")["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == "facnet_queue_age_seconds"


def test_mounts_name_volumes_and_volumes_name_claims():
    for name in PROGRAMS:
        (container,) = pod(name)["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {one["name"] for one in pod(name)["volumes"]}
        claims = [
            one["persistentVolumeClaim"]["claimName"] for one in pod(name)["volumes"] if "persistentVolumeClaim" in one
        ]
        assert all(of("PersistentVolumeClaim", claim) for claim in claims)


def test_every_manifest_is_listed():
    listed = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())["resources"]
    assert {"kustomization.yaml", *listed} == {path.name for path in (DEPLOY / "kubernetes").glob("*.yaml")}


def test_compose_asks_for_what_the_product_needs():
    services = COMPOSE["services"]
    assert set(services) == {"postgres", "valkey", "migrate", "server", "worker", "proxy"}
    assert [services[name]["deploy"]["replicas"] for name in PROGRAMS] == [2, 2]
    command = " ".join(services["valkey"]["command"])
    assert "--maxmemory-policy noeviction" in command
    assert "--appendonly yes" in command
    assert all("ports" not in service for name, service in services.items() if name != "proxy")
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)


def test_every_variable_of_compose_is_in_the_example():
    required = set(re.findall(r"\$\{([A-Z_]+)", (DEPLOY / "compose.yaml").read_text())) - {"FACNET_VERSION"}
    given = set(re.findall(r"^([A-Z_]+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE))
    assert required == given


def test_the_proxy_sends_calls_to_the_servers():
    proxy = yaml.safe_load((DEPLOY / "envoy.yaml").read_text())["static_resources"]
    (cluster,) = proxy["clusters"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert (address["address"], address["port_value"]) == ("server", 50051)
    (chain,) = proxy["listeners"][0]["filter_chains"]
    routes = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    assert {route["route"]["cluster"] for route in routes} == {cluster["name"]}
    assert routes[0]["route"]["timeout"] == "0s"  # streams last for an hour
