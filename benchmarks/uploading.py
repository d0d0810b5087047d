"""Bytes per second that the server takes, against the least that anybody could do: TCP to disk, with a SHA-256."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import socket
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from benchmarks.figures import Figure
from benchmarks.stack import Stack
from facnet_client import upload

BLOCK = 512 << 10
CHUNKS = tuple(kib << 10 for kib in (64, 128, 256, 512, 1008))
NOT_A_CSV = b"%PDF-1.7"  # the worker sees at once that there is nothing to do


def figures(stack: Stack, folder: Path, size: int, times: int) -> list[Figure]:
    """Measure a file of `size` bytes: alone, four at a time, and with several sizes of chunks."""
    file = folder / "upload.bin"
    file.write_bytes(NOT_A_CSV + os.urandom(size - len(NOT_A_CSV)))
    plain, one, four = [], [], []
    for _ in range(times):
        plain.append(size / _plain(file, folder))
        one.append(size / _upload(stack, [file]))
        four.append(4 * size / _upload(stack, [file] * 4))
    chunks = _chunks(stack, file)
    ratio = statistics.median(sent / copied for sent, copied in zip(one, plain, strict=True))
    return [
        Figure("plain TCP to disk with sha256", statistics.median(plain) / 1e6, "MB/s"),
        Figure("one upload", statistics.median(one) / 1e6, "MB/s"),
        Figure("one upload ÷ plain TCP", ratio, at_least=0.5),
        Figure("four uploads at once, together", statistics.median(four) / 1e6, "MB/s"),
        *(Figure(f"one upload, chunks of {chunk >> 10} KiB", rate / 1e6, "MB/s") for chunk, rate in chunks),
    ]


def _upload(stack: Stack, files: list[Path]) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(files)) as pool:
        list(pool.map(stack.client.submit, files))
    return time.perf_counter() - began


def _chunks(stack: Stack, file: Path) -> list[tuple[int, float]]:
    rates: dict[int, list[float]] = {}
    for _ in range(3):
        for chunk in CHUNKS:
            with mock.patch.object(upload, "CHUNK_BYTES", chunk):
                rates.setdefault(chunk, []).append(file.stat().st_size / _upload(stack, [file]))
    return [(chunk, statistics.median(found)) for chunk, found in rates.items()]


def _plain(file: Path, folder: Path) -> float:
    ours, theirs = multiprocessing.Pipe()
    receiver = multiprocessing.get_context("spawn").Process(target=_receive, args=(theirs, folder / "plain.bin"))
    receiver.start()
    port = ours.recv()
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection, file.open("rb") as source:
        while block := source.read(BLOCK):
            connection.sendall(block)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(64)
    taken = time.perf_counter() - began
    receiver.join()
    return taken


def _receive(port: Connection, path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port.send(server.getsockname()[1])
        connection, _ = server.accept()
        with connection, path.open("wb", buffering=0) as file:
            digest, block = hashlib.sha256(), bytearray(BLOCK)
            while count := connection.recv_into(block):
                part = memoryview(block)[:count]
                digest.update(part)
                file.write(part)
            os.fsync(file.fileno())
            connection.sendall(digest.digest())
    path.unlink()
