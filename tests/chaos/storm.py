"""`make chaos`: several clients submit files while one fault follows the other, as a seed says. At least 200 runs.

They send them as a stream or chunk by chunk, watch and cancel runs, try failed ones again, export and delete.

Prints the runs, the faults by kind, and what was lost, duplicated, stuck or deleted by half; all have to be 0, and
nobody may have been turned away for good or told wrong things. The same seed chooses the same files, calls and faults;
what they hit depends on time.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # see tests/conftest.py

from chaos_bench import Bench
from chaos_calls import Caller, Deletion
from chaos_crowd import Clients, Visit
from chaos_deleted import halves, is_there, of_nobody
from chaos_exports import is_right
from chaos_stack import WORKERS, Broken, ChaosStack, eventually
from chaos_truth import attempts, cleans_up, heard_well, outcome, runs_with_key, unended
from chaos_weather import Weather

FAULTS_PER_RUN = 0.5  # at least
FEW_ATTEMPTS = "2"  # so that some runs fail, and are tried again
END_SECONDS = 180.0  # for the last runs; and for dramatiq to give up on workers that were killed
ACKS = "facnet:jobs:__acks__.*"


@dataclass
class Tally:
    """What the clients saw, and what was found wrong, as sentences."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    halved: list[str] = field(default_factory=list)
    misled: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    attempts: Counter[int] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)  # what the clients did, by kind

    @property
    def wrong(self) -> list[str]:
        """Everything that is wrong."""
        return [*self.lost, *self.duplicated, *self.stuck, *self.halved, *self.misled, *self.refused]


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
        ChaosStack(Path(name), FACNET_MAX_ATTEMPTS=FEW_ATTEMPTS) as stack,
    ):
        tally, weather = storm(stack, seed, runs=told.runs, seconds=told.minutes * 60)
    _report(tally, weather)
    return 1 if tally.wrong else 0


def storm(stack: ChaosStack, seed: int, *, runs: int, seconds: float) -> tuple[Tally, Weather]:
    """Let there be faults until there were enough runs and enough time has passed, then look at everything."""
    tally, bench = Tally(), Bench(stack)
    clients = Clients(stack, bench.files, seed)
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
    for visit in clients.visits:
        _examine(bench, tally, visit)
    _look_around(stack, tally)
    _say(f"{len(clients.visits)} runs in {time.monotonic() - began:.0f} s")
    return tally, weather


def _examine(bench: Bench, tally: Tally, visit: Visit) -> None:
    sent, caller = visit.submission, visit.caller
    made = [str(run_id) for run_id in runs_with_key(bench.stack, sent.key)]
    tally.done["chunked" if visit.plan.is_chunked else "streamed"] += 1
    if len(made) > 1:
        tally.duplicated.append(f"{len(made)} runs of one submission: {made}")
    if not visit.is_over.is_set():
        tally.stuck.append(f"somebody still waits for run {sent.run_id or made}")
    elif sent.run_id is None:
        tally.refused.append(f"turned away: {sent.error!r}")
    elif caller is not None and _is_gone(bench.stack, tally, caller):
        tally.duplicated.extend(f"run {run_id} after {sent.run_id} was deleted" for run_id in made)
    elif sent.run_id not in made:
        tally.lost.append(f"run {sent.run_id} was accepted and is gone")
    else:
        _examine_run(bench, tally, visit, sent.run_id)
    _examine_answers(bench, tally, visit)


def _is_gone(stack: ChaosStack, tally: Tally, caller: Caller) -> bool:
    """Look at a run that may have been deleted; return whether it rightly was."""
    if caller.deletion is Deletion.NOT_ASKED:
        return False
    gone = not is_there(stack, caller.run_id)
    told = caller.deletion.name.lower()
    tally.done[f"deleted, {told}" if gone else f"not deleted, {told}"] += 1
    tally.halved.extend(f"run {caller.run_id}, deletion {told}: {half}" for half in halves(stack, caller.run_id))
    if not gone and caller.deletion is Deletion.ANSWERED:
        tally.halved.append(f"run {caller.run_id} was deleted and is there")
    return gone


def _examine_run(bench: Bench, tally: Tally, visit: Visit, run_id: str) -> None:
    tally.attempts[attempts(bench.stack, run_id)] += 1
    found, expected = outcome(bench.stack, run_id), bench.expected[visit.plan.size]
    if found.status == "CANCELLED" and visit.to_cancel and not any(rows for rows, _ in found.content):
        tally.done["cancelled"] += 1
    elif found != expected:
        more = any(a > b for (a, _), (b, _) in zip(found.content, expected.content, strict=True))
        (tally.duplicated if more else tally.lost).append(f"run {run_id} is {found}")


def _examine_answers(bench: Bench, tally: Tally, visit: Visit) -> None:
    sent, caller = visit.submission, visit.caller
    if sent.run_id is not None and sent.error is not None:
        tally.misled.append(f"the watcher of run {sent.run_id} got {sent.error!r}")
    if visit.error is not None:
        tally.refused.append(f"run {sent.run_id} has ended, and then: {visit.error!r}")
    if caller is None:
        return
    tally.done["retried"] += caller.retries
    tally.done["exported"] += len(caller.exported)
    tally.misled.extend(
        f"an export ({exported.wanted.form}) of run {caller.run_id} is not what PostgreSQL holds"
        for exported in caller.exported
        if not is_right(bench.stack, exported, bench.models[visit.plan.size])
    )
    tally.misled.extend(caller.wrong)
    for updates in (sent.updates, *caller.watched):
        tally.misled.extend(f"the watcher of run {caller.run_id} heard {wrong}" for wrong in heard_well(updates))


def _look_around(stack: ChaosStack, tally: Tally) -> None:
    tally.stuck.extend(f"run {run_id} has not ended" for run_id in unended(stack))
    tally.halved.extend(f"rows of no run in {table}" for table in of_nobody(stack))
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
    _say("clients " + ", ".join(f"{kind}: {times}" for kind, times in sorted(tally.done.items())))
    for wrong in tally.wrong:
        _say(f"WRONG {wrong}")
    _say(f"refused {len(tally.refused)}  misled {len(tally.misled)}  halved {len(tally.halved)}")
    _say(f"lost {len(tally.lost)}  duplicated {len(tally.duplicated)}  stuck {len(tally.stuck)}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
