"""The client and the command line start without termios and without signals of POSIX: on Windows and on macOS."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Third parties are imported first: they look at the platform themselves, and their modules for others are not here.
PROGRAM = """
import importlib, os, pkgutil, signal, sys
import asyncio, babel.dates, babel.messages.pofile, grpc, rich.live, rich.progress, subprocess, tempfile, typer.testing
from google.rpc import error_details_pb2
from grpc_status import rpc_status

class Blocked:
    names = {"fcntl", "grp", "pwd", "resource", "termios", "tty"}
    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(name)

for name in Blocked.names:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocked())
platform = sys.argv[1]
sys.platform = platform
if platform == "win32":
    for name in ("SIGALRM", "SIGHUP", "SIGKILL", "setitimer", "ITIMER_REAL"):
        delattr(signal, name)
    for name in ("fork", "killpg", "setsid", "geteuid", "getuid"):
        delattr(os, name)
del os.fdatasync

import facnet_cli, facnet_client
for package in (facnet_client, facnet_cli):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)

from facnet_cli.app import build_app
from facnet_cli.texts import load
from typer.testing import CliRunner
for arguments in (["--version"], ["--help"], ["top", "--help"]):
    result = CliRunner().invoke(build_app(load("en")), arguments)
    assert result.exit_code == 0, (arguments, result.output, result.exception)
from facnet_cli.system import keyboard
with keyboard() as read_key:
    assert read_key(0) == ""
"""


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_every_module_is_imported_and_help_is_printed(platform):
    ended = subprocess.run([sys.executable, "-c", PROGRAM, platform], capture_output=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr.decode()) == (0, "")
