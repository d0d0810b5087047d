"""`python -m facnet_grpc`: argument parsing only."""

# ruff: noqa: PLC0415 - a command imports what it needs and no more: some run where not every extra is installed

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from facnet_grpc.calendar import DAY_SECONDS
from facnet_grpc.settings import Settings
from facnet_grpc.settings.environment import SettingsError
from facnet_grpc.texts.language import Locale

FAILED = 1
BAD_INPUT = 3  # as the client's commands: a file that cannot be read
EX_CONFIG = 78  # sysexits.h: something is not set, or wrongly
WORKER_MARGIN_SECONDS = 10.0  # a worker puts its runs back by itself; dramatiq only insists


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    args = _parser().parse_args(arguments)
    args.lang = Locale(args.lang)
    command: Callable[[argparse.Namespace], int] = args.run
    try:
        return command(args)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return EX_CONFIG


def serve(args: argparse.Namespace) -> int:
    """Run a server until it is args to stop."""
    from facnet_grpc.errors import FacnetError
    from facnet_grpc.server import main as server

    settings = _settings(args)
    try:
        server.run(settings)
    except (OSError, FacnetError) as error:
        sys.stderr.write(f"facnet serve: {error}\n")
        return EX_CONFIG
    return 0


def worker(args: argparse.Namespace) -> int:
    """Become a dramatiq worker."""
    settings = _settings(args)
    if args.json:
        os.environ["FACNET_LOG_FORMAT"] = "json"
    options = {
        "processes": settings.worker.worker_processes,
        "threads": settings.worker.worker_threads,
        "worker-shutdown-timeout": int((settings.process.shutdown_seconds + WORKER_MARGIN_SECONDS) * 1000),
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    sys.stdout.flush()
    # Without the present directory in the path, where anything may be called `workers`.
    command = [sys.executable, "-P", "-m", "dramatiq", "workers.main:setup", *words]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted


def migrate(args: argparse.Namespace) -> int:
    """Bring the schema up to date."""
    from facnet_grpc.errors import FacnetError
    from facnet_grpc.storage.postgres.migrate import Stage
    from facnet_grpc.storage.postgres.migrate import migrate as apply

    try:
        apply(_settings(args).storage.database_url.get_secret_value(), until=Stage(args.stage))
    except FacnetError as error:
        sys.stderr.write(f"facnet migrate: {error}\n")
        return FAILED
    return 0


def dev(args: argparse.Namespace) -> int:
    """Run a whole stack until it is args to stop."""
    from facnet_grpc.devstack.environment import StackError
    from facnet_grpc.devstack.stack import StackOptions, run
    from facnet_grpc.devstack.wheels import EmbeddedError
    from facnet_grpc.errors import FacnetError

    options = StackOptions(
        data_dir=args.data_dir,
        ephemeral=args.ephemeral,
        announce_json=args.json or args.announce == "json",
        until_stdin_closes=args.until_stdin_closes,
        locale=args.lang,
    )
    try:
        run(options)
    except (StackError, EmbeddedError, FacnetError, OSError) as error:
        sys.stderr.write(f"facnet dev: {error}\n")
        return FAILED
    return 0


def doctor(args: argparse.Namespace) -> int:
    """Check that everything is there."""
    from facnet_grpc.doctor.examination import examine
    from facnet_grpc.doctor.report import report

    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # the report says it, once and with the cure
    findings = examine(_settings(args), os.environ.get("FACNET_SERVER"))
    return 0 if report(findings, sys.stdout.write, locale=args.lang, as_json=args.json) else FAILED


def purge(args: argparse.Namespace) -> int:
    """Take runs away that have ended long enough ago, with their lines and results."""
    from facnet_grpc.errors import FacnetError
    from facnet_grpc.storage import factory
    from facnet_grpc.storage.postgres import deletion

    settings = _settings(args)
    days = settings.schedule.retention_days if args.older_than is None else args.older_than
    try:
        with factory.database(settings.storage, "facnet-purge") as database:
            count = deletion.purge_all(database, older_than_seconds=days * DAY_SECONDS, dry_run=args.dry_run)
    except FacnetError as error:
        sys.stderr.write(f"facnet purge: {error}\n")
        return FAILED
    sys.stdout.write(_purged(count, days, args) + "\n")
    return 0


def _purged(count: int, days: int, args: argparse.Namespace) -> str:
    from facnet_grpc.texts.render import sentence

    if args.json:
        return json.dumps({"validations": count, "older_than_days": days, "dry_run": args.dry_run})
    key = "purge.counted" if args.dry_run else "purge.removed"
    return sentence(key, args.lang, count=count, days=sentence("purge.days", args.lang, count=days))


def _days(text: str) -> int:
    """Read `30d` or `30`. Raises `ValueError`."""
    days = int(text.removesuffix("d"))
    if days < 0:
        raise ValueError
    return days


def sample(args: argparse.Namespace) -> int:
    """Write a synthetic claim file."""
    from facnet_grpc.sample.writer import write_sample

    try:
        write_sample(args.rows, args.out, seed=args.seed)
    except OSError as error:
        sys.stderr.write(f"facnet sample: {error.strerror}: {args.out}\n")
        return FAILED
    return 0


def rules(args: argparse.Namespace) -> int:
    """Check a rule pack of one's own, or run its cases."""
    from facnet_grpc.rules.checks.packs import write_report

    return 0 if write_report(args.verb, args.pack, sys.stdout.write, language=args.lang, as_json=args.json) else FAILED


def inspect(args: argparse.Namespace) -> int:
    """Say what a claim file looks like to the service, without a server; nothing in it can be read any more."""
    from facnet_grpc.ingest.inspect import as_json, as_text, inspect_file
    from facnet_grpc.ingest.options import ReadOptions

    options = ReadOptions(encoding_hint=args.encoding, delimiter_hint=args.delimiter)
    try:
        inspection = inspect_file(args.file, options, lines=args.lines)
    except OSError as error:
        sys.stderr.write(f"facnet inspect: {error.strerror}: {args.file}\n")
        return BAD_INPUT
    lines = [as_json(inspection, args.lang)] if args.json else as_text(inspection, args.lang)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return FAILED if inspection.error else 0


def _settings(args: argparse.Namespace) -> Settings:
    return Settings.from_env(**({"log_format": "json"} if args.json else {}))


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--lang", choices=("fr", "en"), default="fr", help="language of what is printed (default: fr)")
    shared.add_argument("--json", action="store_true", help="print and log JSON lines")
    parser = argparse.ArgumentParser(prog="python -m facnet_grpc", description="The claim file validation service.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[shared], help=run.__doc__, description=run.__doc__)
        made.set_defaults(run=run)
        return made

    command("serve", serve)
    command("worker", worker)
    changes = command("migrate", migrate)
    changes.add_argument(
        "--stage",
        choices=("before", "after"),
        default="after",
        help="before: only what the release that is still running can live with (default: after, everything)",
    )
    command("doctor", doctor)
    purges = command("purge", purge)
    purges.add_argument("--older-than", type=_days, metavar="DAYS", help="such as 30d (default: FACNET_RETENTION_DAYS)")
    purges.add_argument("--dry-run", action="store_true", help="only count")
    stack = command("dev", dev)
    stack.add_argument("--data-dir", type=Path, help="where data and logs are kept (default: the user's own)")
    stack.add_argument("--ephemeral", action="store_true", help="keep nothing")
    stack.add_argument("--announce", choices=("text", "json"), default="text", help="how to say where the server is")
    stack.add_argument("--until-stdin-closes", action="store_true", help="stop at the end of standard input")
    inspections = command("inspect", inspect)
    inspections.add_argument("file", type=Path, help="the claim file")
    inspections.add_argument("--encoding", help="the encoding, if it is known")
    inspections.add_argument("--delimiter", help="the delimiter, if it is known")
    inspections.add_argument("--lines", type=int, default=5, help="how many lines to show, masked (default: 5)")
    samples = command("sample", sample)
    samples.add_argument("rows", type=int, help="how many lines")
    samples.add_argument("out", type=Path, help="the file to write")
    samples.add_argument("--seed", type=int, default=1, help="another seed gives other lines (default: 1)")
    packs = command("rules", rules)
    packs.add_argument("verb", choices=("validate", "test"), help="look for mistakes, or run the cases as well")
    packs.add_argument("pack", type=Path, help="the pack, a TOML file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
