"""A bounded thread pool for blocking code, and tasks that outlive the call that started them."""

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
    """Runs blocking functions (PostgreSQL, disk, hashing) in at most `threads` threads; further ones are queued."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="io")

    def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        """Start `function` in a thread, with this task's context. Cancelling the future does not stop the thread."""
        call = partial(copy_context().run, function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait for running functions, and stop the threads."""
        self._pool.shutdown(wait=True)


class BackgroundTasks:
    """Tasks that run to their end although the call that started them is gone."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task and keep a reference to it. Await `asyncio.shield` of the task for its result."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    @property
    def is_idle(self) -> bool:
        """Whether no task is running."""
        return not self._tasks

    async def close(self) -> None:
        """Wait for all tasks."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, FacnetError):  # these are raised to the caller, if still there
            log.error("background_task_failed", **exception_fields(error))
