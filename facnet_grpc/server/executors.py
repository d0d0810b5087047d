"""Where everything that blocks runs: one bounded pool of threads for PostgreSQL, the disk and hashing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from facnet_grpc.errors import FacnetError
from facnet_grpc.logs import exception_fields, get_logger

P = ParamSpec("P")
T = TypeVar("T")

log = get_logger(__name__)


class BlockingExecutor:
    """Runs blocking functions off the event loop, at most `threads` at once; the others wait their turn."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="io")

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Start `function` in a thread, with this task's context. Cancelling the future does not stop the thread."""
        call = partial(copy_context().run, function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for what runs."""
        self._pool.shutdown(wait=True)


class BackgroundTasks:
    """Tasks that must reach their end although the call that began them is gone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin `work` and hold on to it. Await `asyncio.shield` of the task to follow it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    @property
    def is_idle(self) -> bool:
        """Whether nothing is going on."""
        return not self._tasks

    async def close(self) -> None:
        """Wait for all of them."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, FacnetError):  # ours reach the caller, if there still is one
            log.error("background_task_failed", **exception_fields(error))
