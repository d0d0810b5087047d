"""Encrypts columns of one run's rows in one go: AES-256 in counter mode, each counter made of where a value stands.

A counter block is the number of the column, the number of the 16 bytes within the value, and the number of the row. A
run's key is used for nothing else and each place of a run is written once, so no counter comes twice, nothing has to be
stored beside a value, and any row can be read without the others. Values are padded with NUL, which text in PostgreSQL
cannot hold, so how long a name is shows only roughly.

Nothing is authenticated: whoever can change these columns can change amounts and codes beside them as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from facnet_grpc.errors import FacnetError

Bytes = npt.NDArray[np.uint8]
BLOCK: Final = 16
STEP: Final = 8  # values of an array are padded to a multiple of this, all to the same
WIDE: Final = 64  # a longer value is treated alone: it must not make every other as long


class RowCipher:
    """Encrypts and decrypts what belongs to one key. `column` is a number below 2³¹, rows are numbers from 0."""

    def __init__(self, key: bytes) -> None:
        # Encrypting blocks that are counters is what counter mode is; the library's own counts upwards only.
        self._cipher = Cipher(algorithms.AES256(key), modes.ECB())  # noqa: S305 - see above

    def seal(self, texts: pa.Array, column: int, rows: pa.Array) -> pa.Array:
        """Return an array of text as an array of bytes; null stays null."""
        if not len(texts):
            return pa.array([], pa.binary())
        width = _padded(_longest(texts))
        if width > WIDE:
            pairs = zip(texts.to_pylist(), rows.to_pylist(), strict=True)
            return pa.array([self._seal_one(text, column, row) for text, row in pairs], pa.binary())
        if not width:
            return texts.cast(pa.binary())
        padded = pc.ascii_rpad(texts.fill_null(""), width, padding="\0")  # of bytes, whatever its name says
        plain = np.frombuffer(padded.buffers()[2], np.uint8, count=len(texts) * width).reshape(len(texts), width)
        sealed = plain ^ self._stream(column, rows.to_numpy(), width)
        ends = np.arange(0, len(texts) * width + 1, width, dtype=np.int32)
        return pa.Array.from_buffers(
            pa.binary(), len(texts), [_validity(texts), pa.py_buffer(ends), pa.py_buffer(sealed)]
        )

    def open(self, sealed: pa.Array, column: int, rows: pa.Array) -> pa.Array:
        """Return an array of bytes as the array of text that it was. Raises `FacnetError` if it was not."""
        width = _longest(sealed)
        if width > WIDE:
            pairs = zip(sealed.to_pylist(), rows.to_pylist(), strict=True)
            return pa.array([None if value is None else self.open_one(value, column, row) for value, row in pairs])
        if not width:
            return sealed.cast(pa.string())
        starts, data = _buffers(sealed)
        inside = np.arange(width) < np.diff(starts)[:, np.newaxis]
        opened = data ^ self._stream(column, rows.to_numpy(), width)[inside]
        values = [_validity(sealed), pa.py_buffer(starts), pa.py_buffer(opened)]
        return pc.ascii_rtrim(_text(pa.Array.from_buffers(pa.binary(), len(sealed), values)), "\0")

    def open_one(self, sealed: bytes, column: int, row: int) -> str:
        """Return the text of one value. Raises `FacnetError` if it is none."""
        if not sealed:
            return ""
        plain = np.frombuffer(sealed, np.uint8) ^ self._stream(column, np.array([row]), len(sealed))[0]
        try:
            return bytes(plain).rstrip(b"\0").decode()
        except UnicodeDecodeError:
            raise FacnetError from None

    def _seal_one(self, text: str | None, column: int, row: int) -> bytes | None:
        if not text:
            return None if text is None else b""
        encoded = text.encode()
        padded = np.frombuffer(encoded.ljust(_padded(len(encoded)), b"\0"), np.uint8)
        return bytes(padded ^ self._stream(column, np.array([row]), len(padded))[0])

    def _stream(self, column: int, rows: npt.NDArray[Any], width: int) -> Bytes:
        """Return `width` bytes of the key's stream for each row."""
        blocks = -(-width // BLOCK)
        counters = np.empty((len(rows), blocks, 2), "<u8")
        counters[..., 0] = np.arange(blocks, dtype="<u8") | np.uint64(column << 32)
        counters[..., 1] = rows[:, np.newaxis]
        stream = self._cipher.encryptor().update(counters.data.cast("B"))
        return np.frombuffer(stream, np.uint8).reshape(len(rows), blocks * BLOCK)[:, :width]


def unhexed(texts: pa.Array) -> pa.Array:
    """Return hexadecimal digits as an array of bytes."""
    starts, data = _buffers(texts)
    values = [_validity(texts), pa.py_buffer(starts // 2), pa.py_buffer(bytes.fromhex(data.tobytes().decode("ascii")))]
    return pa.Array.from_buffers(pa.binary(), len(texts), values)


def _padded(size: int) -> int:
    return -(-size // STEP) * STEP


def _longest(values: pa.Array) -> int:
    return pc.max(pc.binary_length(values)).as_py() or 0


def _validity(values: pa.Array) -> pa.Buffer | None:
    """Return which values are not null, as an array that begins with the first of them has it."""
    if not values.null_count:
        return None
    valid: Sequence[pa.Buffer | None] = pc.is_valid(values).buffers()
    return valid[1]


def _buffers(values: pa.Array) -> tuple[npt.NDArray[np.int32], Bytes]:
    """Return where values start and end, counted from the first one, and their bytes."""
    _, starts, data = values.buffers()
    ends = np.frombuffer(starts, np.int32)[values.offset : values.offset + len(values) + 1]
    if data is None:
        return ends - ends[0], np.empty(0, np.uint8)
    return ends - ends[0], np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]


def _text(values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:  # its text quotes the bytes
        raise FacnetError from None
