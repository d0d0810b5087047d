#!/usr/bin/env bash
# Makes an environment with every extra, from the lock. Needs a Python 3.11 or newer and the network; nothing else.
set -euo pipefail
python=$1
venv=$2

"$python" - <<'PY' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …" >&2; exit 1; }
import sys
sys.exit(sys.version_info < (3, 11))
PY

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
[ -x "$venv/bin/uv" ] || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check uv
UV_PROJECT_ENVIRONMENT="$venv" VIRTUAL_ENV="$PWD/$venv" "$venv/bin/uv" sync --quiet --locked --all-extras --inexact
