from uuid import uuid4

import pytest

from facnet_grpc.errors import NotFound, Reason
from facnet_grpc.storage.postgres import uploads


@pytest.fixture
def begin(database):
    def open_(upload_id=None, *, owner="local", ttl_seconds=60):
        with database.connection() as conn:
            return uploads.open_(
                conn,
                upload_id=upload_id or uuid4(),
                owner=owner,
                file_name="mai.csv",
                ttl_seconds=ttl_seconds,
            )

    return open_


def test_an_upload_goes_on_where_it_was(database, begin):
    upload = begin()
    with database.connection() as conn:
        uploads.touch(conn, upload.id, 4096, 120)
        found = uploads.get(conn, upload.id, "local")
    assert (found.committed_bytes, found.run_id) == (4096, None)
    assert found.expires_at > upload.expires_at
    assert begin(upload.id) == found


def test_a_finished_upload_says_what_became_of_it(database, begin):
    upload, run_id = begin(), uuid4()
    with database.connection() as conn:
        uploads.finish(conn, upload.id, run_id)
        assert uploads.count_open(conn, "local") == 0
    assert begin(upload.id).run_id == run_id


def test_an_upload_of_somebody_else_does_not_exist(database, begin):
    upload = begin(owner="other")
    with pytest.raises(NotFound) as caught:
        begin(upload.id)
    assert caught.value.reason is Reason.UPLOAD_NOT_FOUND
    with pytest.raises(NotFound), database.connection() as conn:
        uploads.get(conn, upload.id, "local")


def test_open_uploads_are_counted_per_owner(database, begin):
    for owner in ("local", "local", "other"):
        begin(owner=owner)
    begin(ttl_seconds=-1)
    with database.connection() as conn:
        assert uploads.count_open(conn, "local") == 2


def test_old_uploads_are_forgotten_unless_somebody_goes_on(database, begin):
    old, resumed, fresh = begin(ttl_seconds=-1), begin(ttl_seconds=-1), begin()
    with database.connection() as conn:
        assert {upload.id for upload in uploads.expired(conn)} == {old.id, resumed.id}
    begin(resumed.id)
    with database.connection() as conn:
        assert [uploads.delete(conn, upload.id) for upload in (old, resumed, fresh)] == [True, False, False]
        assert uploads.existing(conn, [old.id, resumed.id, fresh.id]) == {resumed.id, fresh.id}
