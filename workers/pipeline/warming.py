"""What the first run would otherwise wait for: libraries that load and compile on first use."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO

from facnet_grpc.ingest.reader import open_claims
from facnet_grpc.logs import exception_fields, get_logger
from facnet_grpc.reference.snapshot import shipped
from facnet_grpc.rules.engine import RuleOutcome, run_rules
from facnet_grpc.rules.lines import LineCollector
from facnet_grpc.rules.registry import Registry, for_run
from facnet_grpc.sample import write_sample
from workers.pipeline.memory import give_back

_LINES = 200
log = get_logger(__name__)


def warm_up(registry: Registry) -> None:
    """Read and judge a small synthetic file, once per process. Never raises: it only saves time."""
    try:
        sample = BytesIO()
        write_sample(_LINES, sample)
        content, collector = sample.getvalue(), LineCollector()
        with open_claims(lambda: BytesIO(content), len(content)) as file:
            for batch in file.batches():
                collector.add(batch.lines)
        rules = for_run(registry.select(()), datetime.now(UTC))
        run_rules(collector.finish(), shipped(), rules, between=_go_on)
    except Exception as error:  # noqa: BLE001 - see above
        log.warning("not_warmed_up", **exception_fields(error))
    finally:
        give_back()


def _go_on(_: RuleOutcome | None) -> None:
    pass
