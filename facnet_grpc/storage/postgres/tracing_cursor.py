"""Traces queries: a child span per query, with its name and number of rows, never its text or parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg.copy import Copy

from facnet_grpc import tracing
from facnet_grpc.storage.postgres import sql_loader

Row_co = TypeVar("Row_co", covariant=True)

_UNKNOWN = "postgresql"


class TracingCursor(psycopg.Cursor[Row_co]):
    """A cursor that records a span per query and COPY, if there is a parent span."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        """Run a query."""
        span = tracing.child(_name(query), db__system__name="postgresql")
        if span is None:
            return super().execute(query, params, **options)
        try:
            cursor = super().execute(query, params, **options)
            span.set_attribute("facnet.rows", self.rowcount)
        except BaseException as error:
            tracing.fail(span, error)
            raise
        finally:
            span.end()
        return cursor

    @contextmanager
    def copy(self, statement: Any, params: Any = None, **options: Any) -> Iterator[Copy]:
        """Copy rows in or out; the span ends with the copy."""
        span = tracing.child("COPY", db__system__name="postgresql")
        try:
            with super().copy(statement, params, **options) as copying:
                yield copying
            if span is not None:
                span.set_attribute("facnet.rows", self.rowcount)
        except BaseException as error:
            if span is not None:
                tracing.fail(span, error)
            raise
        finally:
            if span is not None:
                span.end()


def _name(query: object) -> str:
    """Return the name of a query, or the first word of a query without a name."""
    if not isinstance(query, str):
        return _UNKNOWN
    return sql_loader.name_of(query) or next(iter(query.split(maxsplit=1)), _UNKNOWN)
