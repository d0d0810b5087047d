"""What callers do with a run that is over, while things break: try it again, fetch what was found, delete it.

Each call is made again until it is answered, or given up on where that is what is to be tried; what is wrong with an
answer comes back as sentences.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import uuid4

from chaos_exports import Exported, Wanted
from chaos_stack import PATIENT, Broken, ChaosStack

from facnet_client import FacnetClient, FacnetError
from facnet_client.errors import Conflict, NotFound
from facnet_client.retry import Backoff
from facnet_client.values import Status, Update

MOST_RETRIES = 30  # of one run: faults come one after the other, but not for ever


class Deletion(Enum):
    """What the caller knows of a run that it wanted to be deleted."""

    NOT_ASKED = auto()
    UNANSWERED = auto()  # it may be gone, or be there as before
    ANSWERED = auto()  # it is gone, and stays so


@dataclass
class Caller:
    """Does things to one ended run, and remembers what was wrong, and whether it is deleted."""

    stack: ChaosStack
    run_id: str
    status: Status  # that the run ended in, as far as the caller knows
    deletion: Deletion = Deletion.NOT_ASKED
    watched: list[list[Update]] = field(default_factory=list)
    retries: int = 0
    exported: list[Exported] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _unanswered_retry: bool = False

    def retry(self) -> None:
        """Have a failed run tried again, and watch it to its end."""
        with self.stack.client() as client:
            self._ask_to_retry(client)
            self.retries += 1
            self._watch(client)

    def retry_until_completed(self) -> None:
        """Go on until the run is no longer FAILED. Raises `Broken` if that takes too many times."""
        for _ in range(MOST_RETRIES):
            if self.status is not Status.FAILED:
                return
            self.retry()
        raise Broken(f"run {self.run_id} failed {MOST_RETRIES} times")

    def export(self, wanted: Wanted) -> None:
        """Fetch a file of a completed run, and keep it to be compared later: PostgreSQL may be away just now.

        A run that is being deleted meanwhile may be found gone: then there is no file at all.
        """
        path = self.stack.directory / f"{uuid4()}.{wanted.form.value}"
        with self.stack.client() as client:
            try:
                rows = client.export(self.run_id, path, records=wanted.records)
            except NotFound:
                if self.deletion is Deletion.NOT_ASKED:
                    self.wrong.append(f"run {self.run_id} was not found when it was exported")
                if path.exists():
                    self.wrong.append(f"half an export of run {self.run_id} was left")
                return
        self.exported.append(Exported(wanted, rows, path))

    def delete(self, *, insists: bool) -> None:
        """Delete the run. Unless the caller `insists`, an answer that does not come is not waited for."""
        backoff, asked = Backoff(PATIENT), False
        self.deletion = Deletion.UNANSWERED
        with self.stack.client() as client:
            while not self._is_deleted(client, asked=asked):
                asked = True
                if not insists:
                    return
                if not backoff.wait():
                    raise Broken(f"no answer whether run {self.run_id} is deleted")
        self.deletion = Deletion.ANSWERED

    def _is_deleted(self, client: FacnetClient, *, asked: bool) -> bool:
        """Ask once; False without an answer. `asked`: it may be gone already."""
        try:
            client.delete(self.run_id)
        except NotFound:
            if not asked:
                self.wrong.append(f"run {self.run_id} was not found when it was to be deleted")
        except Conflict:
            if not self._unanswered_retry:  # which has come late, and the run was not over after all
                raise
            self._watch(client)
            return self._is_deleted(client, asked=asked)
        except FacnetError as error:
            if not error.is_retryable:
                raise
            return False
        return True

    def _ask_to_retry(self, client: FacnetClient) -> None:
        backoff, asked = Backoff(PATIENT), self._unanswered_retry
        while True:
            try:
                client.retry(self.run_id)
            except Conflict:
                if not asked:  # otherwise an earlier one has arrived
                    raise
                return
            except FacnetError as error:
                asked = self._unanswered_retry = True
                if not error.is_retryable or not backoff.wait():
                    raise
                continue
            return

    def _watch(self, client: FacnetClient) -> None:
        updates = list(client.watch(self.run_id))
        self.watched.append(updates)
        self.status = updates[-1].status
