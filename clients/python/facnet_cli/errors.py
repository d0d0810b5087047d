"""Exit codes, and errors of the command line itself."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended. `facnet --help` prints them."""

    OK = 0
    RUN_FAILED = 1  # a run failed or was cancelled, or doctor found a problem
    USAGE = 2  # unknown options, missing arguments
    BAD_INPUT = 3  # a file that cannot be read, a run that does not exist, an invalid request
    UNREACHABLE = 4  # no server answers, or it stopped answering
    REFUSED = 5  # limits, rights
    BUG = 70  # a defect of the server or of this program
    CONFIGURATION = 78  # something is not installed or not set
    INTERRUPTED = 130  # Ctrl-C
    BROKEN_PIPE = 141  # the reader of the output closed it
    TERMINATED = 143  # SIGTERM


class Problem(Exception):
    """An error of the command line itself: the key of its texts, and the values of their placeholders."""

    def __init__(self, key: str, code: ExitCode, **values: object) -> None:
        """Make a problem whose texts are `problem.<key>` and, if there is one, `problem.<key>.cure`."""
        super().__init__(key)
        self.key = key
        self.code = code
        self.values = values
