"""Checks as data: packs of TOML, compiled into rules over whole columns; see `docs/howto/write-a-check.md`."""
