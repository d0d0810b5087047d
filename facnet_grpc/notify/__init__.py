"""Delivery of notifications that a run has ended: webhooks and e-mail."""

from __future__ import annotations


class NotDelivered(Exception):
    """A notification was not delivered.

    `problem` is a code that may be logged, such as `status_503` or the name of an exception; with `final` another
    attempt would fail as well.
    """

    def __init__(self, problem: str, *, final: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.final = final
