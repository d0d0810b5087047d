"""Properties that are worked out once, whichever rule asks first, and in whichever thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class cached(Generic[T]):  # noqa: N801 - a decorator, written like `property`
    """A property that is kept in its object; a second thread that asks waits for what the first works out.

    `functools.cached_property` does not do that: it locks out all objects of a class in one version of Python, and
    nobody in the next. Properties may ask for others as long as none asks for itself that way.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _: type, name: str) -> None:
        """Learn the property's name."""
        self._name, self._lock_name = name, f"{name} lock"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        """Work out the property. From then on Python finds it in the object and does not come here."""
        if instance is None:
            return self
        kept = vars(instance)
        with kept.setdefault(self._lock_name, Lock()):
            if self._name not in kept:
                kept[self._name] = self._make(instance)
            return kept[self._name]  # type: ignore[no-any-return]
