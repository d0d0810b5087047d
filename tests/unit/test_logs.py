"""Canaries: whatever is logged, by us or by others, at whatever level, no person and no secret comes out."""

import io
import json
import logging
import sys
import threading
from uuid import UUID

import psycopg
import pytest
import structlog

from facnet_grpc.errors import Reason, TerminalError, TransientError
from facnet_grpc.logs import configure, exception_fields, get_logger
from facnet_grpc.model.run import RunStatus

NAM = "TESX80010199"  # invented, like the names
NAME = "Zéphirin"
PASSWORD = "hunter2-canary"
CANARIES = (NAM, NAME, PASSWORD)
CELL = f"bad cell {NAM} - TESTEUX, {NAME}"
RUN = UUID("0197b6a0-0000-7000-8000-000000000001")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def _restored():
    """Leave logging as it was found: it belongs to the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook, threading.excepthook
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(name="out", params=["json", "console"])
def _out(request):
    stream = io.StringIO()
    configure("debug", request.param, stream)
    yield stream
    text = stream.getvalue()
    assert text
    assert [canary for canary in CANARIES if canary in text] == []


def _lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def _raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_event_and_fields_in_json():
    stream = io.StringIO()
    configure("info", "json", stream)
    with structlog.contextvars.bound_contextvars(run_id=RUN):
        get_logger("workers.actors").info("run_claimed", attempt=2, status=RunStatus.PROCESSING)

    (line,) = _lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "run_claimed",
        "level": "info",
        "logger": "workers.actors",
        "run_id": str(RUN),
        "attempt": 2,
        "status": "PROCESSING",
    }


def test_auto_is_json_unless_somebody_looks():
    machine, person = io.StringIO(), Terminal()
    configure("info", "auto", machine)
    get_logger("x").info("hello")
    configure("info", "auto", person)
    get_logger("x").info("hello")

    assert _lines(machine)[0]["event"] == "hello"
    assert not person.getvalue().startswith("{")


@pytest.mark.parametrize(("level", "expected"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_level_holds_for_ours_and_theirs(level, expected):
    stream = io.StringIO()
    configure(level, "json", stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(get_logger("ours"), name)("ours")
        getattr(logging.getLogger("theirs"), name)("theirs")

    assert len(_lines(stream)) == 2 * expected


def test_configuring_twice_logs_once():
    stream = io.StringIO()
    configure("info", "json", stream)
    configure("info", "json", stream)
    get_logger("x").info("once")

    assert len(_lines(stream)) == 1


def test_our_own_fields_are_scrubbed(out):
    get_logger("ours").debug(
        "cell_seen",
        cell=CELL,
        raw=NAME,
        note=f"NAM {NAM}",
        data=CELL.encode(),
        error=ValueError(CELL),
        doctor_info=f"1234567-12345 | Testeux, {NAME} - X",
        where=f"1234567-12345 | Testeux, {NAME} - X",
        url=f"postgresql://u:{PASSWORD}@h/d",
        nested={"patient_key": NAME, "list": [NAM]},
    )


def test_context_is_scrubbed(out):
    with structlog.contextvars.bound_contextvars(patient=NAME, note=NAM):
        get_logger("ours").info("x")
        logging.getLogger("theirs").info("x")


@pytest.mark.parametrize("logger", ["psycopg", "psycopg.pool", "dramatiq.worker.WorkerThread", "grpc._cython.cygrpc"])
def test_other_libraries_records_are_reduced(out, logger):
    log = logging.getLogger(logger)
    error = _raised(psycopg.errors.InvalidTextRepresentation(CELL))
    log.debug("connecting to %s", f"host=h password={PASSWORD}")
    log.warning("error ignored in %r: %s", object(), error)
    log.error("Failed to process message %s with unhandled exception.", {"cell": CELL}, exc_info=error)
    log.info("%(cell)s %(count)d", {"cell": CELL, "count": 3})
    log.warning(f"Exception calling application: {CELL}", exc_info=error)  # noqa: G004 - as some libraries do
    log.warning(f"cannot read '{CELL}'")  # noqa: G004 - as some libraries do
    log.error(error)
    log.error(f"Task exception was never retrieved\nfuture: <Task exception={error!r}>")  # noqa: G004 - as asyncio does
    log.critical("x", stack_info=True, extra={"cell": CELL})


def test_numbers_and_ids_of_other_libraries_are_kept():
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("dramatiq").info("Worker %s of %d booted in %.2f s, %s", RUN, 2, 0.5, "text")

    assert _lines(stream)[0]["event"] == f"Worker {RUN} of 2 booted in 0.50 s, <str>"


def test_a_template_that_does_not_fit_its_arguments_is_left_empty():
    stream = io.StringIO()
    configure("info", "json", stream)
    logging.getLogger("theirs").error("%d of them", CELL)
    logging.getLogger("theirs").error("%(a)s", {"b": CELL})

    assert [line["event"] for line in _lines(stream)] == ["%d of them", "%(a)s"]


def test_an_exception_is_its_class_and_place():
    stream = io.StringIO()
    configure("info", "json", stream)
    try:
        UUID("not one")
    except ValueError:
        get_logger("ours").exception("failed", run_id=RUN)

    (line,) = _lines(stream)
    assert line["error"] == "ValueError"
    assert line["error_at"].startswith("python3") or "uuid.py" in line["error_at"]
    assert "exc_info" not in line
    assert "exception" not in line


def test_place_is_the_innermost_frame_of_our_own_code():
    with pytest.raises(ValueError) as caught:
        configure("no such level")

    assert exception_fields(caught.value)["error_at"].startswith("facnet_grpc/logs.py:")


def test_our_errors_tell_their_reason_and_their_causes():
    try:
        try:
            raise psycopg.errors.DiskFull(CELL)
        except psycopg.Error as error:
            raise TransientError(Reason.DISK_FULL, sqlstate="53100") from error
    except TransientError as error:
        fields = exception_fields(error)

    del fields["error_at"]
    assert fields == {
        "error": "TransientError",
        "reason": "DISK_FULL",
        "params": {"sqlstate": "53100"},
        "causes": ["DiskFull"],
    }


def test_driver_errors_tell_their_sqlstate():
    assert exception_fields(_raised(psycopg.errors.DeadlockDetected(CELL)))["sqlstate"] == "40P01"


def test_causes_that_are_suppressed_or_endless():
    error = _raised(TerminalError())
    error.__context__ = ValueError()
    error.__suppress_context__ = True
    assert "causes" not in exception_fields(error)

    loop = ValueError()
    loop.__cause__ = loop
    assert exception_fields(loop) == {"error": "ValueError", "error_at": "", "causes": ["ValueError"] * 3}


def test_uncaught_exceptions_are_logged_without_their_text(out):
    sys.excepthook(ValueError, _raised(ValueError(CELL)), None)

    def fail():
        raise ValueError(CELL)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    assert out.getvalue().count("uncaught_exception") == 2


def test_ctrl_c_is_no_accident():
    stream = io.StringIO()
    configure("info", "json", stream)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    threading.excepthook(threading.ExceptHookArgs((SystemExit, None, None, None)))

    assert stream.getvalue() == ""


def test_a_record_that_cannot_be_written_does_not_print_itself(capsys):
    class Full(io.StringIO):
        broken = True

        def write(self, text):
            if self.broken:
                Full.broken = False
                raise RuntimeError(CELL)
            return super().write(text)

    stream = Full()
    configure("info", "json", stream)
    logging.getLogger("theirs").info("x %s", CELL)

    assert json.loads(stream.getvalue()) == {"event": "log_failed", "logger": "theirs", "error": "RuntimeError"}
    assert capsys.readouterr().err == ""


def test_a_closed_stream_is_left_alone(capsys):
    stream = io.StringIO()
    configure("info", "json", stream)
    stream.close()
    logging.getLogger("theirs").info("x")

    assert capsys.readouterr().err == ""
