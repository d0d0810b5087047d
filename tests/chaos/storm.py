"""`make chaos`: several clients submit files while one fault follows the other, as a seed says. At least 200 runs.

Prints the runs, the faults by kind, and what was lost, duplicated or stuck; all three have to be 0, and nobody may have
been turned away for good or told wrong things. The same seed chooses the same faults; what they hit depends on time.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from threading import Event as Flag
from threading import Lock, Thread

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # see tests/conftest.py

from chaos_bench import Bench
from chaos_client import LARGE, SMALL, Submission
from chaos_stack import WORKERS, Broken, ChaosStack, eventually
from chaos_truth import attempts, cleans_up, heard_well, outcome, runs_with_key, unended
from chaos_weather import Weather

from facnet_client import FacnetError

CLIENTS = 4
SHARE_LARGE = 0.15
SHARE_CANCELLED = 0.05  # tried: the run may have ended before
CANCEL_SECONDS = 1.0  # after it was accepted, at most
PAUSE_SECONDS = 3.0  # between two files of a client, at most
FAULTS_PER_RUN = 0.5  # at least
MANY_ATTEMPTS = "1000"  # a run that is hit by every fault is not what is looked for here
END_SECONDS = 180.0  # for the last runs; and for dramatiq to give up on workers that were killed
ACKS = "facnet:jobs:__acks__.*"


@dataclass
class Tally:
    """What the clients saw, and what was found wrong, as sentences."""

    submitted: list[tuple[str, Submission]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    misled: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    to_cancel: set[str] = field(default_factory=set)
    cancelled: int = 0

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.duplicated or self.stuck or self.misled or self.refused)


class Clients:
    """Submit one file after the other, each client for itself, until there are enough."""

    def __init__(self, stack: ChaosStack, files: dict[str, bytes], seed: int, tally: Tally) -> None:
        self.enough = Flag()
        self._stack = stack
        self._files = files
        self._tally = tally
        self._lock = Lock()
        self._threads = [Thread(target=self._go, args=(Random(f"{seed}/{n}"),), daemon=True) for n in range(CLIENTS)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        """Let each finish what it has begun."""
        self.enough.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def running(self) -> list[str]:
        """Return the ids of runs that are going on."""
        with self._lock:
            return [sent.run_id for _, sent in self._tally.submitted if sent.run_id and sent.is_alive()]

    def ended(self) -> int:
        """Return how many submissions have come to an end."""
        with self._lock:
            return sum(not sent.is_alive() for _, sent in self._tally.submitted)

    def _go(self, chance: Random) -> None:
        while not self.enough.is_set():
            size = LARGE if chance.random() < SHARE_LARGE else SMALL
            submission = Submission(self._stack, self._files[size])
            with self._lock:
                self._tally.submitted.append((size, submission))
            if chance.random() < SHARE_CANCELLED:
                self._cancel(submission, chance.uniform(0, CANCEL_SECONDS))
            submission.join()
            self.enough.wait(chance.uniform(0, PAUSE_SECONDS))

    def _cancel(self, submission: Submission, seconds: float) -> None:
        while submission.run_id is None and submission.is_alive():
            submission.join(0.05)
        if submission.run_id is None:
            return
        submission.join(seconds)
        with self._lock:
            self._tally.to_cancel.add(submission.run_id)
        with self._stack.client() as client, suppress(FacnetError):  # a server that is away is not asked twice
            client.cancel(submission.run_id)


def main() -> int:
    """Run a storm, and return 0 if everything came out right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="which faults (default: at random)")
    parser.add_argument("--minutes", type=float, default=0.0, help="go on for at least this long")
    parser.add_argument(
        "--runs", type=int, default=200, help="go on for at least so many runs, and half as many faults"
    )
    told = parser.parse_args()
    seed = random.randrange(1 << 32) if told.seed is None else told.seed
    _say(f"seed {seed}")
    with (
        tempfile.TemporaryDirectory(prefix="facnet-storm-", ignore_cleanup_errors=True) as name,
        ChaosStack(Path(name), FACNET_MAX_ATTEMPTS=MANY_ATTEMPTS) as stack,
    ):
        tally, weather = storm(stack, seed, runs=told.runs, seconds=told.minutes * 60)
    _report(tally, weather)
    return 0 if tally.is_well else 1


def storm(stack: ChaosStack, seed: int, *, runs: int, seconds: float) -> tuple[Tally, Weather]:
    """Let there be faults until there were enough runs and enough time has passed, then look at everything."""
    tally, bench = Tally(), Bench(stack)
    clients = Clients(stack, bench.files, seed, tally)
    weather = Weather(stack, seed, clients.running)
    began = time.monotonic()
    clients.start()
    for number in count(1):
        enough = clients.ended() >= runs and weather.broken.total() >= runs * FAULTS_PER_RUN
        if enough and time.monotonic() - began >= seconds:
            break
        weather.next()
        if number % 20 == 0:
            _say(f"{time.monotonic() - began:5.0f} s  {clients.ended():4} runs  {weather.broken.total():4} faults")
    weather.settle()
    clients.join(END_SECONDS)
    for size, submission in tally.submitted:
        _examine(bench, tally, size, submission)
    _look_around(stack, tally)
    _say(f"{len(tally.submitted)} runs in {time.monotonic() - began:.0f} s")
    return tally, weather


def _examine(bench: Bench, tally: Tally, size: str, sent: Submission) -> None:
    made = [str(run_id) for run_id in runs_with_key(bench.stack, sent.key)]
    if len(made) > 1:
        tally.duplicated.append(f"{len(made)} runs of one submission: {made}")
    if sent.is_alive():
        tally.stuck.append(f"somebody still waits for run {sent.run_id or made}")
    elif sent.run_id is None:
        tally.refused.append(f"turned away: {sent.error!r}")
    elif sent.run_id not in made:
        tally.lost.append(f"run {sent.run_id} was accepted and is gone")
    else:
        _examine_run(bench, tally, size, sent, sent.run_id)


def _examine_run(bench: Bench, tally: Tally, size: str, sent: Submission, run_id: str) -> None:
    tally.attempts[attempts(bench.stack, run_id)] += 1
    found, expected = outcome(bench.stack, run_id), bench.expected[size]
    if found.status == "CANCELLED" and run_id in tally.to_cancel and not any(rows for rows, _ in found.content):
        tally.cancelled += 1
    elif found != expected:
        more = any(a > b for (a, _), (b, _) in zip(found.content, expected.content, strict=True))
        (tally.duplicated if more else tally.lost).append(f"run {run_id} is {found}")
    if sent.error is not None:
        tally.misled.append(f"the watcher of run {run_id} got {sent.error!r}")
    else:
        tally.misled.extend(f"the watcher of run {run_id} heard {wrong}" for wrong in heard_well(sent.updates))


def _look_around(stack: ChaosStack, tally: Tally) -> None:
    tally.stuck.extend(f"run {run_id} has not ended" for run_id in unended(stack))
    try:
        cleans_up(stack)
        for name in WORKERS:  # messages that got lost on their way to a worker are kept for as long as it lives
            stack.supervisor.kill(name)
        eventually("every message is given back", lambda: not list(stack.redis.scan_iter(ACKS)), END_SECONDS)
        eventually("nobody waits for a message", lambda: not stack.redis.exists("facnet:jobs:validation.msgs"))
        cleans_up(stack)
    except (AssertionError, Broken) as error:
        tally.stuck.append(str(error))


def _report(tally: Tally, weather: Weather) -> None:
    for kind, times in sorted(weather.broken.items()):
        _say(f"  {times:4}  {kind}")
    _say(f"faults {weather.broken.total()}, of {len(weather.broken)} kinds")
    _say("attempts " + ", ".join(f"{tried}: {times} runs" for tried, times in sorted(tally.attempts.items())))
    for wrong in (*tally.lost, *tally.duplicated, *tally.stuck, *tally.misled, *tally.refused):
        _say(f"WRONG {wrong}")
    _say(f"runs {len(tally.submitted)}  cancelled {tally.cancelled}")
    _say(f"refused {len(tally.refused)}  misled {len(tally.misled)}")
    _say(f"lost {len(tally.lost)}  duplicated {len(tally.duplicated)}  stuck {len(tally.stuck)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
