#!/usr/bin/env bash
# Installs the client alone, on the lowest versions that clients/python/pyproject.toml promises, and runs its tests there.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-.venv/bin/uv}
python=${PYTHON:-python3.11}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$uv" venv --quiet --python "$python" "$folder/venv"
export VIRTUAL_ENV=$folder/venv
"$uv" pip install --quiet --resolution lowest-direct -r clients/python/pyproject.toml --extra cli
"$uv" build --quiet --wheel clients/python --out-dir "$folder"
"$uv" pip install --quiet --no-deps "$folder"/facnet_client-*.whl
# The tests' own tools are not part of the promise.
"$uv" pip install --quiet pytest pytest-timeout

# Away from the sources, so that the installed package is what is imported.
cp -r tests/integration/client "$folder/tests"
cat >"$folder/pytest.ini" <<'INI'
[pytest]
addopts = --strict-markers -q
filterwarnings = error
timeout = 120
markers =
    system: needs real PostgreSQL and Redis
INI
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import importlib.util
from importlib.metadata import version

import facnet_client

for name in ("grpcio", "protobuf", "typer", "rich", "babel"):
    print(name, version(name))
for name in ("pyarrow", "psycopg", "redis", "dramatiq", "structlog"):
    assert importlib.util.find_spec(name) is None, f"{name} is not part of the client"
PY
"$folder/venv/bin/facnet" --help >/dev/null
# What hands over to the server, or starts one, needs the server's extra, which is not here.
"$folder/venv/bin/python" -m pytest tests --ignore tests/test_cli_stack.py -k "not handed_over and not itself_is_purged" "$@"
