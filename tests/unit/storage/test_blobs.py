"""Parts and blobs, plain and encrypted: one writer, no half files, full disks, odd names."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from uuid import uuid4

import pytest

from facnet_grpc.errors import Conflict, LimitExceeded, NotFound, Reason, TerminalError, TransientError
from facnet_grpc.storage.blobs.api import BlobStore, PartWriter
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore, MemoryFileKeys
from facnet_grpc.storage.blobs.local import LocalBlobStore


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def plain(root):
    return LocalBlobStore(root)


@pytest.fixture(params=["plain", "encrypted"])
def store(request, plain):
    return plain if request.param == "plain" else EncryptedBlobStore(plain, MemoryFileKeys())


@pytest.fixture
def put(store):
    def write(data=b"abc", upload_id=None):
        upload_id = upload_id or uuid4()
        with store.open_part(upload_id) as part:
            part.write(data)
            part.seal()
            part.sync()
        return upload_id

    return write


def test_it_is_a_blob_store(store):
    checked: BlobStore = store
    with checked.open_part(uuid4()) as part:
        writer: PartWriter = part
        assert writer.size == 0


def test_a_part_is_gone_on_with(store, put):
    upload_id = put(b"abc")
    with store.open_part(upload_id) as part:
        assert part.size == 3
        part.write(memoryview(b"defg"))
        assert part.size == 7
    assert store.part_size(upload_id) == 7
    with store.open_part_for_reading(upload_id) as file:
        assert file.read() == b"abcdefg"


def test_a_part_becomes_a_blob(store, put):
    upload_id, key = put(b"abc"), str(uuid4())
    store.commit(upload_id, key)
    assert store.part_size(upload_id) is None
    assert store.size(key) == 3
    with store.open(key) as file:
        assert file.read() == b"abc"
    store.commit(upload_id, key)


def test_what_is_not_there(store):
    upload_id, key = uuid4(), str(uuid4())
    assert store.part_size(upload_id) is None
    for look in (lambda: store.open_part_for_reading(upload_id), lambda: store.commit(upload_id, key)):
        with pytest.raises(NotFound) as missing:
            look()
        assert missing.value.reason is Reason.UPLOAD_NOT_FOUND
    for look in (store.open, store.size):
        with pytest.raises(TerminalError) as gone:
            look(key)
        assert gone.value.reason is Reason.BLOB_MISSING
    store.delete(key)
    store.delete_part(upload_id)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "a", "/etc/passwd", "..", "x" * 300])
def test_a_name_that_is_no_uuid_gets_near_no_path(store, name):
    for use in (store.open, store.size, store.delete, lambda key: store.commit(uuid4(), key)):
        with pytest.raises(ValueError, match="badly formed"):
            use(name)


def test_nobody_else_can_read_it(root, store, put):
    put()
    store.commit(put(), str(uuid4()))
    for path in [root, *root.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)


def test_a_part_has_one_writer(store):
    upload_id = uuid4()
    with store.open_part(upload_id) as part:
        for use in (store.open_part, store.delete_part):
            with pytest.raises(Conflict) as busy:
                use(upload_id)
            assert busy.value.reason is Reason.UPLOAD_BUSY
        part.write(b"x")
        part.close()
        part.close()
        with pytest.raises(Conflict):
            part.write(b"y")
    store.open_part(upload_id).close()


def test_of_many_writers_at_once_one_gets_the_part(store):
    upload_id, start, got = uuid4(), threading.Barrier(8), []

    def open_():
        start.wait()
        try:
            got.append(store.open_part(upload_id))
        except Conflict:
            got.append(None)

    threads = [threading.Thread(target=open_) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [part for part in got if part]
    winner.close()


def test_a_part_that_was_committed_while_it_was_opened_is_begun_anew(store, put, monkeypatch):
    upload_id, key = put(b"abc"), str(uuid4())
    flock, committed = __import__("fcntl").flock, []

    def commit_first(*args):
        if not committed:
            committed.append(store.commit(upload_id, key))
        flock(*args)

    monkeypatch.setattr("facnet_grpc.storage.blobs.local.fcntl.flock", commit_first)
    with store.open_part(upload_id) as part:
        assert part.size == 0
        part.write(b"new")
    with store.open(key) as file:
        assert file.read() == b"abc"


def test_the_writer_that_is_killed_leaves_what_it_synced_and_no_lock(root, plain):
    upload_id = uuid4()
    script = (
        "import sys, time; from pathlib import Path; from uuid import UUID\n"
        "from facnet_grpc.storage.blobs.local import LocalBlobStore\n"
        "part = LocalBlobStore(Path(sys.argv[1])).open_part(UUID(sys.argv[2]))\n"
        "part.write(b'kept'); part.sync(); print('synced', flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(root), str(upload_id)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"synced\n"
        with pytest.raises(Conflict):
            plain.open_part(upload_id)
        process.send_signal(signal.SIGKILL)
    with plain.open_part(upload_id) as part:
        assert part.size == 4


def test_bytes_are_on_the_disk_before_the_name_and_the_name_before_the_answer(root, store, put, monkeypatch):
    upload_id, key, done = put(), str(uuid4()), []
    fsync, rename = os.fsync, os.rename

    def note_fsync(file):
        done.append(("fsync", str(Path(f"/proc/self/fd/{file}").readlink())))
        fsync(file)

    def note_rename(old, new, **_):
        done.append(("rename", os.fspath(new)))
        rename(old, new)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    store.commit(upload_id, key)
    assert done == [
        ("fsync", str(root / "parts" / str(upload_id))),
        ("rename", str(root / "blobs" / key)),
        ("fsync", str(root / "blobs")),
        ("fsync", str(root / "parts")),
    ]


def test_a_full_disk(root, plain):
    upload_id = uuid4()
    (root / "parts" / str(upload_id)).symlink_to("/dev/full")
    with plain.open_part(upload_id) as part, pytest.raises(LimitExceeded) as full:
        part.write(b"abc")
    assert full.value.reason is Reason.DISK_FULL


def test_a_disk_that_fills_up_in_the_middle_of_a_chunk_leaves_the_part_as_it_was(plain, monkeypatch):
    upload_id, write, calls = uuid4(), os.write, []
    with plain.open_part(upload_id) as part:
        part.write(b"abc")

    def short(file, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "full")
        return write(file, data[:2])

    with plain.open_part(upload_id) as part:
        monkeypatch.setattr(os, "write", short)
        with pytest.raises(LimitExceeded):
            part.write(b"defg")
        assert part.size == 3
    assert calls == [4, 2]
    assert plain.part_size(upload_id) == 3


def test_a_disk_that_writes_little_at_a_time_gets_everything(store, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:2]))
    upload_id = uuid4()
    with store.open_part(upload_id) as part:
        part.write(b"abcdefg")
    with store.open_part_for_reading(upload_id) as file:
        assert file.read() == b"abcdefg"


def test_a_disk_that_fails_is_a_passing_trouble(store, put, monkeypatch):
    upload_id = put()

    def fail(*_):
        raise OSError(errno.EIO, "/var/lib/secret")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TransientError) as caught:
        store.commit(upload_id, str(uuid4()))
    assert caught.value.params == {"errno": "EIO"}


def test_files_are_listed(store, put):
    part, key = put(b"12"), str(uuid4())
    store.commit(put(b"345"), key)
    assert [info.key for info in store.parts()] == [str(part)]
    (blob,) = store.blobs()
    assert (blob.key, blob.size_bytes >= 3, blob.modified_at.tzname()) == (key, True, "UTC")
    store.delete(key)
    store.delete_part(part)
    assert [*store.parts(), *store.blobs()] == []


def test_a_file_that_goes_while_it_is_listed_is_left_out(store, put):
    listed = store.parts()
    gone, kept = put(), put()
    first = next(listed, None)
    other = kept if first and first.key == str(gone) else gone
    store.delete_part(other)
    assert str(other) not in {info.key for info in listed}


def test_the_check_leaves_nothing(root, store, monkeypatch):
    store.check()
    assert [path for path in root.rglob("*") if path.is_file()] == []
    monkeypatch.setattr(os, "write", lambda file, data: len(data))
    with pytest.raises(TransientError):
        store.check()
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_lock_that_fails_keeps_nothing_open(store, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr("facnet_grpc.storage.blobs.local.fcntl.flock", fail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(TransientError):
        store.open_part(uuid4())
    assert len(list(Path("/proc/self/fd").iterdir())) == before
