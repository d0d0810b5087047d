"""Every call of every service has its role, whoever adds it."""

from __future__ import annotations

import importlib
import pkgutil

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from facnet_grpc.errors import Forbidden
from facnet_grpc.gen.facnet import v1
from facnet_grpc.model.access import LOCAL, Caller, Role
from facnet_grpc.server.access.roles import PUBLIC, ROLES, check
from facnet_grpc.server.app import SERVICES

OURS = [
    importlib.import_module(f"{v1.__name__}.{module.name}").DESCRIPTOR
    for module in pkgutil.iter_modules(v1.__path__)
    if module.name.endswith("_pb2")
]
FILES = [*OURS, health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR, channelz_pb2.DESCRIPTOR]
ALL: list[ServiceDescriptor] = [service for file in FILES for service in file.services_by_name.values()]
CALLS = [f"/{service.full_name}/{method.name}" for service in ALL for method in service.methods]


@pytest.mark.parametrize("call", CALLS)
def test_a_call_has_a_role_or_is_public_and_not_both(call):
    assert (call in ROLES) is not (call in PUBLIC)


def test_every_service_of_the_port_is_among_them():
    assert {service.full_name for service in SERVICES} <= {service.full_name for service in ALL}


def test_what_is_public_says_nothing_about_anybody():
    assert {call.split("/")[1] for call in PUBLIC} == {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.parametrize("name", ["Submit", "Upload", "Cancel", "Retry", "Delete"])
def test_viewers_change_nothing(name):
    assert {role for call, role in ROLES.items() if call.rpartition("/")[2].startswith(name)} == {Role.EDITOR}


def test_operations_and_channelz_are_for_admins():
    guarded = [role for call, role in ROLES.items() if "Operations" in call or "Channelz" in call or "Import" in call]
    assert set(guarded) == {Role.ADMIN}


def test_a_call_that_is_in_no_table_is_refused_to_everybody():
    with pytest.raises(Forbidden):
        check("/facnet.v1.ValidationService/Invented", LOCAL)


@pytest.mark.parametrize(("own", "allowed"), [(Role.VIEWER, {Role.VIEWER}), (Role.EDITOR, {Role.VIEWER, Role.EDITOR})])
def test_a_role_includes_those_below_it(own, allowed):
    caller = Caller("a", roles=frozenset({own}))
    assert {role for role in Role if caller.may(role)} == allowed
    assert caller.scope == "a"


def test_only_admins_reach_beyond_their_owner():
    assert Caller("a", roles=frozenset({Role.ADMIN})).scope is None
    assert Caller("a").scope == "a"
    assert LOCAL.scope == "local"
    assert not any(Caller("a").may(role) for role in Role)
