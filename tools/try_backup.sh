#!/usr/bin/env bash
# Back up, wipe, restore, and see that runs are still readable: on a throw-away stack, with the pg_dump of the wheels.
# Prints what it took. Usage: tools/try_backup.sh [LINES]
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python tools/try_backup.py "${1:-20000}"
