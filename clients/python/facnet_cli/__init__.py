"""The command line, `facnet`: a program on top of `facnet_client`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facnet_cli.system import System

# gRPC logs to standard error by default; this program reports errors itself. gRPC reads the variable when it is loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def main(system: System | None = None) -> None:
    """Run `facnet` with the arguments of the process, and exit."""
    from typer.main import get_command  # noqa: PLC0415 - typer is slow to import, and importing this package is not

    from facnet_cli.app import build_app  # noqa: PLC0415 - imports typer
    from facnet_cli.texts import choose, load  # noqa: PLC0415 - imports Babel

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # not there on other streams
    texts = load(choose(sys.argv[1:], os.environ))
    get_command(build_app(texts, system)).main(prog_name="facnet")
