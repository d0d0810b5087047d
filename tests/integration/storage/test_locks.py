"""Advisory locks are for one transaction at a time, and leave its timeouts as they were."""

from __future__ import annotations

import time

from facnet_grpc.storage.postgres import locks

NUMBER = 0x66_61_63_74_65_73_74
TIMEOUT = "SELECT current_setting('lock_timeout')"


def test_a_lock_is_for_one_transaction_at_a_time(database):
    with database.connection() as first, database.connection() as second:
        assert locks.try_lock(first, NUMBER)
        assert not locks.try_lock(second, NUMBER)
        began = time.monotonic()
        assert not locks.lock_within(second, NUMBER, 0.05)
        assert time.monotonic() - began < 4  # the session's own limit is 5 seconds
        first.commit()
        assert locks.lock_within(second, NUMBER, 0.05)


def test_waiting_for_a_lock_leaves_the_timeout_of_other_locks_alone(database, wait_for_lock):
    with database.connection() as first, database.connection() as second:
        usual = second.execute(TIMEOUT).fetchone()
        locks.lock(first, NUMBER)
        assert not locks.lock_within(second, NUMBER, 0.05)
        assert second.execute(TIMEOUT).fetchone() == usual
        wait_for_lock(first.commit)
        assert locks.lock_within(second, NUMBER, 30.0)
        assert second.execute(TIMEOUT).fetchone() == usual
