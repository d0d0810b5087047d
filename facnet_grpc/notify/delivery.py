"""What both ways of saying it have in common: how an attempt may fail."""

from __future__ import annotations


class NotDelivered(Exception):
    """It did not get through; `problem` is one of a few words, with a status code perhaps, fit for a log.

    `final`: no other attempt can go better.
    """

    def __init__(self, problem: str, *, final: bool = False) -> None:
        super().__init__(problem)
        self.problem = problem
        self.final = final
