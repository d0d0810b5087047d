"""What a line has to say, and where: `required_field`, `role_allowed`, `place_class`, `place_list`."""

from __future__ import annotations

import numpy as np

from facnet_grpc.rules.checks.primitives.base import Field, Hits, Params, Primitive, Work

_CLASSES = {"cabinet": "in_cabinet", "establishment": "in_establishment"}


def required_field(work: Work) -> Hits:
    """Find lines without a value in one of `columns`; zero units are none."""
    rows = work.rows
    lacking = np.zeros(len(rows), np.bool_)
    for column in work.params["columns"]:
        lacking |= ~work.sheet.known(column)[rows]
        if column == "units":
            lacking |= work.sheet.claims.units[rows] < 1
    return Hits.lines(rows[lacking], len(rows))


def role_allowed(work: Work) -> Hits:
    """Find lines whose role is not one of `allowed`; a line without a role is left out."""
    allowed = set(work.params["allowed"])
    rows = work.sheet.where_known(work.rows, ["role"])
    wrong = work.sheet.where("role", lambda text: text.lstrip("0") not in allowed)[rows]
    return Hits.lines(rows[wrong], len(rows), facts={"role": work.sheet.text("role", rows[wrong])})


def place_class(work: Work) -> Hits:
    """Find lines at a known place of the other class."""
    rows = work.sheet.where_known(work.rows, ["place"])
    inside = getattr(work.sheet.claims, _CLASSES[work.params["class"]])[rows]
    return Hits.lines(rows[~inside], len(rows), facts={"place": work.sheet.text("place", rows[~inside])})


def place_list(work: Work) -> Hits:
    """Find lines at a known place that is not in the list."""
    rows = work.sheet.where_known(work.rows, ["place"])
    listed = work.sheet.where("place", frozenset(work.params["only"]).__contains__)[rows]
    return Hits.lines(rows[~listed], len(rows), facts={"place": work.sheet.text("place", rows[~listed])})


def _columns(params: Params) -> tuple[str, ...]:
    return tuple(params["columns"])


PRIMITIVES = (
    Primitive(
        name="required_field",
        run=required_field,
        doc="A value in each of `columns`.",
        fields={"columns": Field("columns", required=True)},
        needs=_columns,
    ),
    Primitive(
        name="role_allowed",
        run=role_allowed,
        doc="One of the roles `allowed`, or none.",
        fields={"allowed": Field("texts", required=True)},
        needs=lambda _: ("role",),
        facts=("role",),
    ),
    Primitive(
        name="place_class",
        run=place_class,
        doc="At a place of a `class`: cabinet (5xxxx) or establishment.",
        fields={"class": Field("choice", required=True, choices=tuple(_CLASSES))},
        needs=lambda _: ("place",),
        facts=("place",),
    ),
    Primitive(
        name="place_list",
        run=place_list,
        doc="At `only` these places.",
        fields={"only": Field("texts", required=True)},
        needs=lambda _: ("place",),
        facts=("place",),
    ),
)
