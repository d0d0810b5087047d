"""Work in several threads: rules evaluated in parallel, and properties that are computed once whoever asks first."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from threading import Lock
from typing import Any, Generic, Self, TypeVar, overload

Item = TypeVar("Item")
Result = TypeVar("Result")
T = TypeVar("T")


def map_ordered(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Generator[Result, None, None]:
    """Yield `work(item)` for each of `items`, in the order in which the results become available.

    Items are started in their own order, `threads` of them in parallel, in threads that see the caller's context
    variables; with one thread, in the caller's. The next item is started when the caller asks for the next result.
    Closing the generator starts no further item and waits for those that run, as does an exception of `work`, which is
    raised when they have ended.
    """
    if min(threads, len(items)) <= 1:
        yield from map(work, items)
        return
    waiting = iter(items)
    done: SimpleQueue[Future[Result]] = SimpleQueue()
    with ThreadPoolExecutor(threads, "rules") as pool:

        def start(most: int) -> None:
            for item in islice(waiting, most):
                pool.submit(copy_context().run, work, item).add_done_callback(done.put)

        start(threads)
        for _ in items:
            yield done.get().result()
            start(1)


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
