"""Exit codes: the one place that says what they mean. `facnet --help` prints them."""

from __future__ import annotations

from enum import IntEnum

from facnet_client.errors import Conflict, CorruptData, FacnetError, InvalidRequest, NotFound, Refused, Unavailable


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    RUN_FAILED = 1  # a run failed or was cancelled, or doctor found a problem
    USAGE = 2  # unknown options, missing arguments
    BAD_INPUT = 3  # a file that cannot be read, a run that does not exist, a request that the server cannot take
    UNREACHABLE = 4  # no server answers, or it stopped answering
    REFUSED = 5  # limits, rights
    BUG = 70  # a defect of the server or of this program
    CONFIGURATION = 78  # something is not installed or not set
    INTERRUPTED = 130  # Ctrl-C
    BROKEN_PIPE = 141  # whoever read the output has gone
    TERMINATED = 143  # SIGTERM


_CODES: dict[type[FacnetError], ExitCode] = {
    InvalidRequest: ExitCode.BAD_INPUT,
    NotFound: ExitCode.BAD_INPUT,
    Conflict: ExitCode.BAD_INPUT,
    CorruptData: ExitCode.BAD_INPUT,
    Unavailable: ExitCode.UNREACHABLE,
    Refused: ExitCode.REFUSED,
}


def exit_code(error: FacnetError) -> ExitCode:
    """Return the code to leave with after `error`."""
    if error.reason == "UPLOAD_LOST":
        return ExitCode.UNREACHABLE
    return _CODES.get(type(error), ExitCode.BUG)
