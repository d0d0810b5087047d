"""The command line: `facnet`."""

from __future__ import annotations

import os
import sys

# gRPC prints its own troubles on standard error; ours are told in the reader's language. It asks once, when loaded.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


def main() -> None:
    """Run `facnet` with the arguments of the process, and exit."""
    from typer.main import get_command  # noqa: PLC0415 - what is slow to load is loaded when it is needed

    from facnet_cli.app import build_app  # noqa: PLC0415 - likewise
    from facnet_cli.texts import choose, load  # noqa: PLC0415 - likewise

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # real streams can
    texts = load(choose(sys.argv[1:], os.environ))
    get_command(build_app(texts)).main(prog_name="facnet")
