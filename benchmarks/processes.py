"""What the kernel knows of a process tree: who is in it, and how much memory it has held at the most."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def descendants(pid: int) -> list[int]:
    """Return `pid` and everything below it."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    tree, todo = [], [pid]
    while todo:
        current = todo.pop()
        tree.append(current)
        todo.extend(children.get(current, []))
    return tree


def named(pid: int, word: str) -> list[int]:
    """Return the processes at or below `pid` whose command line contains `word`."""
    return [child for child in descendants(pid) if word in _command(child)]


def forget_peak(pids: list[int]) -> None:
    """Make the kernel count peaks anew."""
    for pid in pids:
        (PROC / str(pid) / "clear_refs").write_text("5")


def peak_mib(pids: list[int]) -> float:
    """Return the largest resident memory that one of them has held since `forget_peak`, in MiB."""
    return max((_status(pid, "VmHWM") for pid in pids), default=0) / 1024


def resident_kib(pid: int) -> int:
    """Return the memory that a process holds now, in KiB."""
    return _status(pid, "VmRSS")


def processor_seconds(pids: list[int]) -> float:
    """Return the processor time that these have used, and their children that have ended."""
    ticks = 0
    for pid in pids:
        try:
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
    return ticks / os.sysconf("SC_CLK_TCK")


def _parent(entry: Path) -> int | None:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _command(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _status(pid: int, name: str) -> int:
    try:
        lines = (PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)
