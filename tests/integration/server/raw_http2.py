"""As much HTTP/2 as it takes to open many calls on one connection, and to see how they end. No manners."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import Self

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field, written out."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Flood:
    """Calls with one request each, all open at once on one connection."""

    def __init__(self, target: str, path: str, request: bytes) -> None:
        host, _, port = target.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
        fields |= {"content-type": "application/grpc", "te": "trailers"}
        self._headers = b"".join(literal(name, value) for name, value in fields.items())
        self._data = b"\0" + struct.pack(">I", len(request)) + request
        self._window = 65_535  # bytes of DATA that the server takes
        self._received = b""
        self._out = PREFACE + frame(SETTINGS, 0, 0)
        self.opened = 0
        self.ended: set[int] = set()
        self.answered: set[int] = set()
        self.is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def open(self, count: int) -> None:
        """Open more calls, as fast as the server takes them."""
        deadline = time.monotonic() + 60
        wanted = self.opened + count
        while (self.opened < wanted or self._out) and not self.is_over:
            assert time.monotonic() < deadline
            while self.opened < wanted and len(self._out) < 65_536 and self._window >= len(self._data):
                stream = 2 * self.opened + 1
                self._out += frame(HEADERS, END_HEADERS, stream, self._headers)
                self._out += frame(DATA, END_STREAM, stream, self._data)
                self._window -= len(self._data)
                self.opened += 1
            self._exchange(0.05)

    def wait_for(self, ended: int, seconds: float = 60) -> None:
        """Wait until so many calls have ended."""
        deadline = time.monotonic() + seconds
        while len(self.ended) < ended and not self.is_over:
            assert time.monotonic() < deadline, f"{len(self.ended)} have ended"
            self._exchange(0.05)

    def _exchange(self, seconds: float) -> None:
        readable, writable, _ = select.select([self._socket], [self._socket] if self._out else [], [], seconds)
        if writable:
            self._out = self._out[self._socket.send(self._out) :]
        if readable:
            more = self._socket.recv(1 << 16)
            self.is_over = not more
            self._received += more
            self._read()

    def _read(self) -> None:
        while len(self._received) >= 9:
            length = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + length:
                return
            kind, flags = self._received[3], self._received[4]
            stream = int.from_bytes(self._received[5:9], "big")
            payload, self._received = self._received[9 : 9 + length], self._received[9 + length :]
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in {SETTINGS, PING} and not flags & ACK:
            self._out += frame(kind, ACK, 0, payload if kind == PING else b"")
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            self.is_over = True
        elif kind == DATA:
            self.answered.add(stream)
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self.ended.add(stream)
