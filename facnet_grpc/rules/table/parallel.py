"""Several things done at once, by a few threads, and handed over one by one in the thread that asked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import islice
from queue import SimpleQueue
from typing import TypeVar

Thing = TypeVar("Thing")
Done = TypeVar("Done")


def map_ordered(work: Callable[[Thing], Done], things: Sequence[Thing], lanes: int) -> Generator[Done, None, None]:
    """Yield what `work` makes of each of `things`, in the order in which it is done.

    They are begun in their own order, `lanes` of them at once, in threads that see the caller's context variables;
    with one lane, in the caller's thread. The next is begun when the caller comes back for more. Close the generator,
    and none is begun any more; it waits for those that were, as it does before it raises what `work` raised.
    """
    if min(lanes, len(things)) <= 1:
        yield from map(work, things)
        return
    waiting = iter(things)
    done: SimpleQueue[Future[Done]] = SimpleQueue()
    with ThreadPoolExecutor(lanes, "lane") as pool:

        def begin(most: int) -> None:
            for thing in islice(waiting, most):
                pool.submit(copy_context().run, work, thing).add_done_callback(done.put)

        begin(lanes)
        for _ in things:
            yield done.get().result()
            begin(1)
