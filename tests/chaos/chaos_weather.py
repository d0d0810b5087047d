"""Faults to choose from at random: at a point that somebody may come to, or around everybody at once."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random

from chaos_stack import LEASE_SECONDS, WORKERS, ChaosStack
from chaos_supervisor import family

from facnet_grpc import faults
from facnet_grpc.errors import TransientError
from facnet_grpc.jobs.contract import ValidateRun
from facnet_grpc.jobs.queue import JobQueue, make_broker

LONGEST_SECONDS = 2 * LEASE_SECONDS  # of standing still: sometimes longer than a lease
AWAY_SECONDS = 3.0
SHARE_AT_POINTS = 0.6


class Weather:
    """Breaks one thing after the other, as a seed says, and counts what it broke."""

    def __init__(self, stack: ChaosStack, seed: int, running: Callable[[], list[str]]) -> None:
        self.broken: Counter[str] = Counter()
        self._stack = stack
        self._random = Random(seed)
        self._running = running
        self._armed: tuple[str, str] | None = None
        self._around = (
            self._kill_server,
            self._kill_worker,
            self._end_server,
            self._end_worker,
            self._freeze_worker,
            self._flush,
            self._stop_redis,
            self._freeze_redis,
            self._restart_postgres,
            self._crash_postgres,
            self._stop_postgres,
            self._cut,
            self._ask_twice,
        )

    def next(self) -> None:
        """Wait for a moment, then break something, and mend what does not mend itself."""
        time.sleep(self._random.uniform(0.3, 2.0))
        self.settle()
        if self._random.random() < SHARE_AT_POINTS:
            self._at_point()
            return
        do = self._random.choice(self._around)
        self.broken[do()] += 1

    def settle(self) -> None:
        """Note whether the fault at a point has happened, and take it back otherwise."""
        if self._armed is None:
            return
        (point, action), self._armed = self._armed, None
        if self._stack.hits(point):
            self.broken[f"{action} at {point}"] += 1
        self._stack.disarm()

    def _at_point(self) -> None:
        point = self._random.choice(sorted(faults.POINTS))
        action = self._random.choice(("kill", "kill", "exit", "stop", "sleep", "raise"))
        seconds = self._random.uniform(0.1, LONGEST_SECONDS)
        full = {"sleep": f"sleep:{seconds:.1f}", "raise": "raise:transient"}.get(action, action)
        self._stack.arm(f"{point}={full}")
        self._armed = (point, action)
        if action == "stop":
            time.sleep(seconds)  # until the next fault at the latest: see settle()

    def _worker(self) -> str:
        return self._random.choice(WORKERS)

    def _kill_server(self) -> str:
        self._stack.supervisor.kill("server")
        return "kill server"

    def _kill_worker(self) -> str:
        self._stack.supervisor.kill(self._worker())
        return "kill worker"

    def _end_server(self) -> str:
        self._stack.supervisor.signal("server", signal.SIGTERM)
        return "end server in order"

    def _end_worker(self) -> str:
        self._stack.supervisor.signal(self._worker(), signal.SIGTERM)
        return "end worker in order"

    def _freeze_worker(self) -> str:
        child = self._stack.supervisor.programs[self._worker()].child
        for pid in family(child.pid) if child else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(self._random.uniform(0.1, LONGEST_SECONDS))
        self._stack.go_on()
        return "freeze worker"

    def _flush(self) -> str:
        self._stack.redis.flushall()
        return "flush redis"

    def _stop_redis(self) -> str:
        with self._stack.without_redis():
            time.sleep(self._random.uniform(0, AWAY_SECONDS))
        return "stop and start redis"

    def _freeze_redis(self) -> str:
        with self._stack.valkey.paused():
            time.sleep(self._random.uniform(0, AWAY_SECONDS))
        return "freeze redis"

    def _restart_postgres(self) -> str:
        self._stack.postgres.restart()
        return "restart postgresql"

    def _crash_postgres(self) -> str:
        self._stack.postgres.restart(crash=True)
        return "crash postgresql"

    def _stop_postgres(self) -> str:
        self._stack.postgres.stop(crash=self._random.random() < 1 / 2)
        time.sleep(self._random.uniform(0, AWAY_SECONDS))
        self._stack.postgres.start()
        return "stop and start postgresql"

    def _cut(self) -> str:
        self._stack.proxy.cut()
        return "cut clients off"

    def _ask_twice(self) -> str:
        broker = make_broker(self._stack.valkey.url)
        with suppress(TransientError):
            for run_id in self._running():
                for _ in range(3):
                    JobQueue(broker).enqueue(ValidateRun(run_id))
        broker.close()
        return "send jobs again"
