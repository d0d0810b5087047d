"""What there is to say of a rule pack, for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from facnet_grpc.rules import declarative
from facnet_grpc.texts import Locale, sentence


def report(verb: str, pack: Path, write: Callable[[str], object], *, language: str, as_json: bool) -> bool:
    """Write what is wrong with a pack (`validate`), or how its cases go (`test`); return whether all is well."""
    if verb == "test":
        outcome = declarative.test_pack(pack)
        problems, passed = outcome.failures, outcome.passed
    else:
        problems, passed = declarative.validate_pack(pack), 0
    for problem in problems:
        said = {"file": str(problem.path), "line": problem.line, "problem": problem.sentence}
        write((json.dumps(said, ensure_ascii=False) if as_json else str(problem)) + "\n")
    summary = {"pack": str(pack), "ok": not problems, "problems": len(problems), "passed": passed}
    key = f"pack.{verb}.{'wrong' if problems else 'fine'}"
    text = sentence(key, Locale(language), pack=str(pack), count=len(problems) or passed)
    write((json.dumps(summary, ensure_ascii=False) if as_json else text) + "\n")
    return not problems
