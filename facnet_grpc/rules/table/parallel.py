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
    """A cached property that is computed once: a second thread waits for the first one's value.

    `functools.cached_property` locks all objects of the class in Python 3.11 and has no lock in 3.12. A property may
    read others, but not itself through them: that is a deadlock.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, _: type, name: str) -> None:
        """Store the property's name."""
        self._name, self._lock_name = name, f"{name} lock"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> Self | T:
        """Compute the value and store it in the object, where Python finds it from then on."""
        if instance is None:
            return self
        kept = vars(instance)
        with kept.setdefault(self._lock_name, Lock()):
            if self._name not in kept:
                kept[self._name] = self._make(instance)
            return kept[self._name]  # type: ignore[no-any-return]
