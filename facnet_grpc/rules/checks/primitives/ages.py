"""How old a patient has to be: `age_range`."""

from __future__ import annotations

from facnet_grpc.rules.checks.claim_table import NO_AGE
from facnet_grpc.rules.checks.primitives.base import Field, Hits, Primitive, Work


def age_range(work: Work) -> Hits:
    """Find lines of patients who are younger than `min` or older than `max`, in completed units."""
    params, sheet = work.params, work.sheet
    ages = sheet.ages(work.rows, params["unit"])
    known = ages != NO_AGE
    rows, age = work.rows[known], ages[known]
    outside = age < params["min"]
    if params["max"] is not None:
        outside |= age > params["max"]
    return Hits.lines(rows[outside], len(rows), facts={"age": age[outside]})


PRIMITIVES = (
    Primitive(
        name="age_range",
        run=age_range,
        doc="An age of `min` to `max` completed `unit`s (both included) on the day of service.",
        fields={
            "unit": Field("choice", default="years", choices=("years", "months", "days")),
            "min": Field("int", default=0),
            "max": Field("int"),
        },
        needs=lambda _: ("patient_key",),
        facts=("age",),
    ),
)
