"""The client is at home on Windows and macOS: what only some systems have, it does not need."""

from __future__ import annotations

import subprocess
import sys

POSIX_ONLY = ("fcntl", "grp", "pwd", "pty", "readline", "resource", "syslog", "termios", "tty")
PROGRAM = f"""
import sys
for name in {POSIX_ONLY!r}:
    sys.modules[name] = None  # importing it fails, as on Windows
import os
for name in ("fdatasync", "fork", "geteuid", "getuid", "posix_fadvise", "sched_getaffinity"):
    delattr(os, name)
import facnet_client
from facnet_client import operations, reference, rules
for name in facnet_client.__all__:
    getattr(facnet_client, name)
with facnet_client.FacnetClient("localhost:1", retry=facnet_client.Retry(connect=0.01)) as client:
    try:
        client.submit(__file__)
    except facnet_client.Unavailable:
        print("as expected")
"""


def test_it_needs_nothing_that_only_some_systems_have(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run([sys.executable, program], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout == "as expected\n"
