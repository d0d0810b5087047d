"""The page of errors: each reason with its gRPC status, its parameters, and its texts in both languages."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from docs_markdown import head, table

from facnet_grpc import errors
from facnet_grpc.errors import FacnetError, Reason, TerminalError
from facnet_grpc.server.interceptors.errors import code_of
from facnet_grpc.texts.catalogue import PLACEHOLDER, load
from facnet_grpc.texts.language import Locale
from facnet_grpc.texts.render import column_name, error_text, reject_text

PACKAGES = ("facnet_grpc", "workers")
ENDS_RUN = "the run fails"


def page(root: Path) -> str:
    """Return the page."""
    kinds = raised(root)
    lines = [
        *head("Errors", "`facnet_grpc/errors.py`, its texts, and where it is raised"),
        "A failed call has the status below and a `google.rpc.Status` with details: `ErrorInfo` (`reason` is the name",
        "in the first column, `domain` is `facnet.v1`), `LocalizedMessage` (first the message, then the remedy),",
        "`RequestInfo`, and where applicable `BadRequest`, `ResourceInfo` and `RetryInfo`. A failed run has the reason",
        "in its field `error.code`.",
        "",
        *table(("Reason", "Status", "Parameters"), _overview(kinds)),
    ]
    for reason in Reason:
        lines += [f"## {reason}", "", *_texts(reason)]
    lines += ["## Rejected lines", "", *_rejects()]
    return "\n".join(lines)


def raised(root: Path) -> dict[Reason, set[type[FacnetError]]]:
    """Return by reason the kinds of error that the code raises with it."""
    found: dict[Reason, set[type[FacnetError]]] = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            for kind, reason in calls(path.read_text()):
                found[reason].add(kind)
    return found


def calls(source: str) -> Iterator[tuple[type[FacnetError], Reason]]:
    """Yield kind and reason of every error that is made in a piece of source code."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, FacnetError):
            word = getattr(node.args[0], "attr", "") if node.args else kind.default_reason.value
            if word in Reason.__members__:
                yield kind, Reason[word]


def _overview(kinds: dict[Reason, set[type[FacnetError]]]) -> Iterator[tuple[str, str, str]]:
    for reason in Reason:
        names = sorted({_comes_as(kind, reason) for kind in kinds.get(reason, ())}) or [ENDS_RUN]
        yield f"[{reason}](#{reason.lower()})", ", ".join(names), ", ".join(f"`{name}`" for name in _parameters(reason))


def _comes_as(kind: type[FacnetError], reason: Reason) -> str:
    return ENDS_RUN if issubclass(kind, TerminalError) else f"`{code_of(kind(reason)).name}`"


def _parameters(reason: Reason) -> list[str]:
    entries = load(Locale.EN).entries
    texts = (form for part in ("message", "cure") for form in entries[f"{reason}.{part}"].forms)
    return sorted({name for text in texts for name in PLACEHOLDER.findall(text)})


def _texts(reason: Reason) -> list[str]:
    lines = []
    for locale in Locale:
        text = error_text((reason.value, {}), locale)
        lines += [f"- {locale.tag}: {text.message} {text.cure}"]
    return [*lines, ""]


def _rejects() -> list[str]:
    names = [key.removeprefix("reject.") for key in load(Locale.EN).entries if key.startswith("reject.")]
    example = "service_date"
    return [
        f"With the column `{example}` ({column_name(example, Locale.FR)}) as an example:",
        "",
        *table(
            ("Reason", *(locale.tag for locale in Locale)),
            ((f"`{name}`", *(reject_text(name, example, locale) for locale in Locale)) for name in names),
        ),
    ]
