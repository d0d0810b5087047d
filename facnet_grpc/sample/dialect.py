"""How a sample file is written: encoding, delimiter, decimal mark, dates, line ends."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

_BOMS = {"cp1252": b"", "utf-8": b"", "utf-8-sig": codecs.BOM_UTF8, "utf-16": codecs.BOM_UTF16_LE}
_CODECS = {"utf-8-sig": "utf-8", "utf-16": "utf-16-le"}


@dataclass(frozen=True, slots=True)
class SampleDialect:
    """The choices that a clinic's software makes; the defaults are the usual ones."""

    encoding: Literal["cp1252", "utf-8", "utf-8-sig", "utf-16"] = "cp1252"
    delimiter: str = ";"
    decimal_mark: str = ","
    date_format: str = "%Y-%m-%d"
    """As for `strftime`."""
    line_end: str = "\r\n"

    @property
    def bom(self) -> bytes:
        """The bytes that the file begins with."""
        return _BOMS[self.encoding]

    def encode(self, text: bytes) -> bytes:
        """Encode a part of the file, given as UTF-8, without a byte order mark."""
        if self.encoding.startswith("utf-8"):
            return text
        return text.decode().encode(_CODECS.get(self.encoding, self.encoding))

    def quote(self, text: str) -> str:
        """Return a cell's text, in quotes if it holds a delimiter."""
        return f'"{text}"' if self.delimiter in text else text


USUAL = SampleDialect()
