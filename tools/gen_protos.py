"""Generate the Python stubs from `protos/` into `facnet_grpc/gen/`, or check that they are fresh (`--check`).

The compiler is pinned to the lowest version that the stubs support, because generated code refuses an older runtime. It
runs in an environment of its own, so that the project itself can use newer libraries.
"""

from __future__ import annotations

import argparse
import filecmp
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
GEN = ROOT / "facnet_grpc" / "gen"
COMPILER = ("grpcio-tools==1.78.0", "mypy-protobuf==3.7.0", "setuptools<81")


def generate(target: Path) -> None:
    """Write fresh stubs below `target`. Raises `CalledProcessError` if the compiler fails."""
    sources = sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto"))
    requirements = [word for requirement in COMPILER for word in ("--with", requirement)]
    subprocess.run(  # noqa: S603 - fixed words
        [
            *("uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable, *requirements),
            *("python", "-m", "grpc_tools.protoc", f"--proto_path={PROTOS}"),
            *(f"--python_out={target}", f"--mypy_out={target}"),
            *(f"--grpc_python_out={target}", f"--mypy_grpc_out={target}"),
            *sources,
        ],
        check=True,
    )
    for path in target.rglob("*_pb2*.py*"):
        _move_imports(path)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        (folder / "__init__.py").write_text('"""Generated from `protos/`; never edited."""\n')


def _move_imports(path: Path) -> None:
    """Make the stubs import each other from where they live: protoc only knows the proto package."""
    text = path.read_text()
    text = re.sub(r"^from facnet\.v1 import", "from facnet_grpc.gen.facnet.v1 import", text, flags=re.MULTILINE)
    text = re.sub(r"^import facnet\.v1\.", "import facnet_grpc.gen.facnet.v1.", text, flags=re.MULTILINE)
    text = re.sub(r"(?<![\w./\"'])facnet\.v1\.(\w+_pb2)", r"facnet_grpc.gen.facnet.v1.\1", text)
    path.write_text(text)


def _differences(left: Path, right: Path) -> list[str]:
    names = {
        str(path.relative_to(root)) for root in (left, right) for path in root.rglob("*.py*") if path.suffix != ".pyc"
    }
    return sorted(
        name
        for name in names
        if not ((left / name).exists() and (right / name).exists())
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


def main() -> int:
    """Generate, or with `--check` compare and say what is stale. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the stubs are stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        if not check:
            shutil.rmtree(GEN, ignore_errors=True)
            shutil.copytree(fresh, GEN)
            return 0
        stale = _differences(GEN, fresh)
    for name in stale:
        print(f"stale: facnet_grpc/gen/{name} (run `make proto`)")
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
