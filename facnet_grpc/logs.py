"""Logging, configured once for our records and everybody else's: event names and fields, one line each, no PHI.

The last link of the chain is `phi.scrub`. The text of an exception is never logged, because drivers quote cells: its
class and its place in our code are. Records of other libraries are reduced to their message template; what they fill
into it is only shown if it is a number or a UUID.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TextIO
from uuid import UUID

import structlog
from structlog.stdlib import BoundLogger, ProcessorFormatter
from structlog.typing import EventDict, Processor

from facnet_grpc import tracing
from facnet_grpc.errors import FacnetError
from facnet_grpc.phi.scrub import scrub_fields

Format = Literal["auto", "json", "console"]
PACKAGES = frozenset({"facnet_grpc", "facnet_client", "facnet_cli", "workers"})
CHATTY = {
    "alembic": logging.WARNING,  # tells of looking at the schema, which every probe of readiness may do
    "apscheduler": logging.ERROR,  # tells of everything that it does, and does not, every few seconds
}
MAX_CAUSES = 3
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")


def get_logger(name: str) -> BoundLogger:
    """Return a logger: `log.info("run_claimed", run_id=…, attempt=…)`. Events are literal names, never sentences."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure(level: str = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002 - the setting is called so
    """Send every record of this process to `stream` (stderr), as JSON or, on a terminal, for people.

    Uncaught exceptions of any thread are logged the same way instead of being printed with their text. Call it once, in
    the composition root of a process; calling it again replaces what was.
    """
    out = stream or sys.stderr
    handler = _Handler(out)
    handler.setFormatter(_formatter(_renderer(format, out)))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name, least in CHATTY.items():
        logging.getLogger(name).setLevel(least)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread


def exception_fields(error: BaseException) -> dict[str, Any]:
    """Return what a log may say of an exception: class, reason, SQLSTATE, place and the classes of its causes."""
    fields: dict[str, Any] = {"error": type(error).__name__, "error_at": _place(error.__traceback__)}
    if isinstance(error, FacnetError):
        fields |= {"reason": error.reason.value, "params": dict(error.params)}
    if isinstance(sqlstate := getattr(error, "sqlstate", None), str):
        fields["sqlstate"] = sqlstate
    causes: list[str] = []
    cause = _cause(error)
    while cause is not None and len(causes) < MAX_CAUSES:
        causes.append(type(cause).__name__)
        cause = _cause(cause)
    return fields | ({"causes": causes} if causes else {})


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _place(traceback: TracebackType | None) -> str:
    """Return `package/module.py:line` of the innermost frame that is ours, or of the innermost one at all."""
    ours = last = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code.co_filename
        package = traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        parts = Path(code).parts
        last = f"{'/'.join(parts[-2:])}:{traceback.tb_lineno}"
        if package in PACKAGES and package in parts:
            ours = f"{'/'.join(parts[parts.index(package) :])}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return ours or last


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream, and says no more than that it failed when it fails: the usual report quotes the arguments."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class calls it so
        error = sys.exc_info()[1]
        if not isinstance(error, (OSError, ValueError)):  # a stream that is closed cannot take it either
            self.stream.write(
                f'{{"event": "log_failed", "logger": "{record.name}", "error": "{type(error).__name__}"}}\n'
            )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _traced,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(renderer: Processor) -> ProcessorFormatter:
    return ProcessorFormatter(
        foreign_pre_chain=[_foreign, *_shared()],
        processors=[_without_exceptions, ProcessorFormatter.remove_processors_meta, _scrubbed, renderer],
        use_get_message=False,
        pass_foreign_args=True,
    )


def _renderer(format: Format, stream: TextIO) -> Processor:  # noqa: A002 - see configure
    if format == "json" or (format == "auto" and not stream.isatty()):
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty())


def _traced(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return {**tracing.ids(), **event}


def _foreign(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Reduce another library's record to its template, filled with numbers and UUIDs only."""
    template = event["_record"].msg
    args = event.pop("positional_args", ()) or ()
    if not isinstance(template, str):
        return {**event, "event": f"<{type(template).__name__}>"}
    first_line = template.partition("\n")[0]
    return {**event, "event": _fill(first_line, args) if args else _static(first_line)}


def _static(text: str) -> str:
    """Keep of a message that was put together by its author what is not likely to have been put in."""
    return _QUOTED.sub("…", text.partition(": ")[0])


def _fill(template: str, args: Any) -> str:
    try:
        if isinstance(args, dict):
            return template % {name: _harmless(value) for name, value in args.items()}
        return template % tuple(_harmless(value) for value in args)
    except (TypeError, ValueError, KeyError):
        return template


def _harmless(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, UUID)) else f"<{type(value).__name__}>"


def _without_exceptions(_logger: Any, _method: str, event: EventDict) -> EventDict:
    event.pop("stack_info", None)
    event.pop("stack", None)
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    return {**exception_fields(error), **event} if isinstance(error, BaseException) else event


def _scrubbed(_logger: Any, _method: str, event: EventDict) -> EventDict:
    return scrub_fields(event)


def _uncaught(_kind: type[BaseException], error: BaseException, _traceback: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    get_logger("facnet_grpc").critical("uncaught_exception", exc_info=error)


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        get_logger("facnet_grpc").critical("uncaught_exception", exc_info=args.exc_value)
