"""Which encoding a file has, and its text as UTF-8.

Strict UTF-8 over the whole file first, then Windows-1252: the first accent may be in row 90,000. A byte order mark says
more than either, and a hint more than that.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from facnet_grpc.errors import Reason, TerminalError
from facnet_grpc.ingest.source import Stream

# Stands for bytes that mean nothing in the file's encoding; a noncharacter, so no text of its own has it.
MARK = "\ufdd0"
MARK_BYTES = MARK.encode()

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HINTS = frozenset(
    {
        *("utf-8", "utf-16", "utf-16-le", "utf-16-be", "cp437", "cp850", "mac-roman", "cp1252"),
        *("iso8859-2", "iso8859-3", "iso8859-4", "iso8859-9", "iso8859-10", "iso8859-13", "iso8859-14", "iso8859-15"),
        *("cp1250", "cp1254", "cp1257"),
    },
)
# What calls itself Latin-1 is Windows-1252, as every browser knows.
_ALIASES = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-8-sig": "utf-8"}
_WITHOUT_BOM = {"utf-16": "utf-16-le"}
_C1_END = 0xA0 - 0x100


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the file's bytes become text."""

    name: str
    bom: bytes = b""
    is_clean: bool = True
    """Whether no byte can be without a meaning."""

    @property
    def label(self) -> str:
        """The name as it is shown."""
        return f"{self.name} with BOM" if self.bom else self.name

    def decoder(self) -> Callable[[bytes, bool], bytes]:
        """Return a function from (bytes, is this all) to UTF-8 without NUL, to be called block after block."""
        return _Decoder(self).decode


class _Decoder:
    def __init__(self, encoding: Encoding) -> None:
        self._bom = encoding.bom
        self._begun = b""
        self._transcode = _transcoder(encoding)

    def decode(self, data: bytes, final: bool) -> bytes:  # noqa: FBT001 - as in codecs
        if self._bom:
            self._begun += data
            if len(self._begun) < len(self._bom) and not final:
                return b""
            data, self._bom, self._begun = self._begun.removeprefix(self._bom), b"", b""
        text = self._transcode(data, final)
        # PostgreSQL keeps no NUL, and it means nothing.
        return text.replace(b"\0", b"") if b"\0" in text else text


def hinted(hint: str) -> str:
    """Return the name of the encoding that a caller asks for.

    Raises:
        TerminalError: UNKNOWN_ENCODING.
    """
    try:
        name = codecs.lookup(hint.strip()).name
    except (LookupError, ValueError):
        name = ""
    name = _ALIASES.get(name, name)
    if name not in _HINTS:
        raise TerminalError(Reason.UNKNOWN_ENCODING) from None
    return name


def detect(stream: Stream, hint: str | None, block_bytes: int) -> Encoding:
    """Find the encoding; reads on until it is certain, for UTF-8 to the end.

    Raises:
        TerminalError: UNKNOWN_ENCODING, and what reading raises.
    """
    blocks = iter(lambda: stream.read(block_bytes), b"")
    start = b""
    while len(start) < max(len(bom) for bom, _ in _BOMS) and (block := next(blocks, b"")):
        start += block
    bom, name = next(((bom, name) for bom, name in _BOMS if start.startswith(bom)), (b"", ""))
    if hint:
        chosen = hinted(hint)
        bom, name = (bom, name) if name.startswith(chosen) else (b"", _WITHOUT_BOM.get(chosen, chosen))
    if name not in {"", "utf-8"}:
        return Encoding(name, bom, is_clean=name == "cp1252")
    is_valid = _is_utf8(start, blocks)
    if name or is_valid:
        return Encoding("utf-8", bom, is_clean=is_valid)
    return Encoding("cp1252")


def _is_utf8(start: bytes, blocks: Iterator[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    try:
        decoder.decode(start)
        for block in blocks:
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _transcoder(encoding: Encoding) -> Callable[[bytes, bool], bytes]:
    if encoding.name == "cp1252":
        return _from_cp1252
    if encoding.name == "utf-8" and encoding.is_clean:
        return lambda data, _: data
    decoder = codecs.getincrementaldecoder(encoding.name)("facnet.mark")
    return lambda data, final: decoder.decode(data, final).encode("utf-8", "replace")


def _from_cp1252(data: bytes, _: bool) -> bytes:  # noqa: FBT001 - as in codecs
    if data.isascii():
        return data
    # As signed numbers, bytes beyond ASCII are negative, and those from 0x80 to 0x9F the least of all.
    if np.frombuffer(data, np.int8).min() < _C1_END:
        return codecs.charmap_decode(data, "strict", _CP1252)[0].encode()
    return data.decode("latin-1").encode()  # the same, and many times as fast


def _cp1252_table() -> str:
    """Return the 256 characters of Windows-1252; the five undefined bytes stay what they are."""
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))


_CP1252 = _cp1252_table()


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return MARK, error.end


codecs.register_error("facnet.mark", _mark)
