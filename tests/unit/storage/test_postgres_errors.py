import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout

from facnet_grpc.errors import FacnetError, Reason, TransientError
from facnet_grpc.storage.postgres.errors import translate


@pytest.mark.parametrize("kind", [psycopg.OperationalError, PoolTimeout, PoolClosed])
def test_an_error_without_a_code_is_the_connections(kind):
    error = translate(kind("password of TREM12345678 is wrong"))
    assert (type(error), error.reason, dict(error.params)) == (TransientError, Reason.BACKEND_UNAVAILABLE, {})


@pytest.mark.parametrize(
    ("kind", "wanted", "reason"),
    [
        (psycopg.errors.DiskFull, TransientError, Reason.DISK_FULL),
        (psycopg.errors.DeadlockDetected, TransientError, Reason.BACKEND_UNAVAILABLE),
        (psycopg.errors.SerializationFailure, TransientError, Reason.BACKEND_UNAVAILABLE),
        (psycopg.errors.AdminShutdown, TransientError, Reason.BACKEND_UNAVAILABLE),
        (psycopg.errors.TooManyConnections, TransientError, Reason.BACKEND_UNAVAILABLE),
        (psycopg.errors.QueryCanceled, TransientError, Reason.BACKEND_UNAVAILABLE),
        (psycopg.errors.LockNotAvailable, TransientError, Reason.BACKEND_UNAVAILABLE),
        (psycopg.errors.UniqueViolation, FacnetError, Reason.INTERNAL),
        (psycopg.errors.UndefinedTable, FacnetError, Reason.INTERNAL),
        (psycopg.errors.ObjectInUse, FacnetError, Reason.INTERNAL),
    ],
)
def test_an_error_with_a_code_is_what_the_code_says(kind, wanted, reason):
    error = translate(kind("TREM12345678"))
    assert (type(error), error.reason, dict(error.params)) == (wanted, reason, {"sqlstate": kind.sqlstate})


def test_an_error_of_the_client_side_is_a_mistake():
    error = translate(psycopg.DataError("text cannot contain NUL: TREM12345678"))
    assert (type(error), dict(error.params)) == (FacnetError, {"sqlstate": ""})
