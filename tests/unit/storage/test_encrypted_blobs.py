"""What somebody can do to an encrypted file who has the disk, and what a crash does to it."""

import os
from uuid import uuid4

import pytest

from facnet_grpc.errors import LimitExceeded, Reason, TerminalError, TransientError
from facnet_grpc.settings.keys import Keys
from facnet_grpc.storage.blobs.encrypted import EncryptedBlobStore, MemoryFileKeys
from facnet_grpc.storage.blobs.frame_format import FRAME_BYTES, OVERHEAD, PREAMBLE_BYTES
from facnet_grpc.storage.blobs.key_wrapping import KeyWrapper
from facnet_grpc.storage.blobs.local import LocalBlobStore

CANARY = b"TREM70612575;CANARY, MARIE;"
CONTENT = CANARY * (3 * FRAME_BYTES // len(CANARY))
FRAME = FRAME_BYTES + OVERHEAD


@pytest.fixture
def root(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def keys():
    return MemoryFileKeys()


@pytest.fixture
def store(root, keys):
    return EncryptedBlobStore(LocalBlobStore(root), keys)


@pytest.fixture
def blob(root, store, keys):
    """A blob's key and its path on the disk."""

    def make(content=CONTENT, upload_id=None):
        upload_id, key = upload_id or uuid4(), str(uuid4())
        with store.open_part(upload_id) as part:
            part.write(content)
            part.seal()
        store.commit(upload_id, key)
        keys.set_blob_key(upload_id, key)
        return key, root / "blobs" / key

    return make


def read(store, key):
    with store.open(key) as file:
        return file.read()


def assert_refused(store, key, reason=Reason.BLOB_DAMAGED):
    with pytest.raises(TerminalError) as caught:
        read(store, key)
    assert caught.value.reason is reason


def test_the_disk_shows_nothing(root, store, blob):
    key, path = blob()
    with store.open_part(uuid4()) as part:
        part.write(CANARY)
    stored = b"".join(file.read_bytes() for file in root.rglob("*") if file.is_file())
    assert CANARY not in stored
    assert b"CANARY" not in stored
    assert read(store, key) == CONTENT
    assert store.size(key) == len(CONTENT)
    assert len(path.read_bytes()) > len(CONTENT)


def test_the_same_file_twice_looks_different(blob):
    (_, first), (_, second) = blob(), blob()
    assert first.read_bytes()[PREAMBLE_BYTES:] != second.read_bytes()[PREAMBLE_BYTES:]


@pytest.mark.parametrize(
    "change",
    [
        lambda stored: stored[: PREAMBLE_BYTES + FRAME],  # cut off between two frames
        lambda stored: stored[:-1],
        lambda stored: stored[:PREAMBLE_BYTES],
        lambda stored: b"",
        lambda stored: stored + stored[-40:],
        lambda stored: stored[:PREAMBLE_BYTES] + stored[PREAMBLE_BYTES + FRAME :],  # the first frame left out
        lambda stored: (
            stored[:PREAMBLE_BYTES]
            + stored[PREAMBLE_BYTES + FRAME : PREAMBLE_BYTES + 2 * FRAME]
            + stored[PREAMBLE_BYTES : PREAMBLE_BYTES + FRAME]
            + stored[PREAMBLE_BYTES + 2 * FRAME :]
        ),  # two frames exchanged
        lambda stored: stored[:200] + bytes([stored[200] ^ 1]) + stored[201:],
        lambda stored: stored[:PREAMBLE_BYTES] + b"\xff\xff\xff\xff" + stored[PREAMBLE_BYTES + 4 :],
        lambda stored: CONTENT,  # a plain file in its place
    ],
)
def test_a_file_that_was_touched_is_not_read(store, blob, change):
    key, path = blob()
    path.write_bytes(change(path.read_bytes()))
    assert_refused(store, key)


def test_a_frame_or_a_whole_file_of_another_upload_is_not_read(store, blob):
    (key, path), (other_key, other) = blob(), blob()
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(mine[:PREAMBLE_BYTES] + theirs[PREAMBLE_BYTES:])
    assert_refused(store, key)
    path.write_bytes(theirs)
    assert_refused(store, key)
    path.write_bytes(mine)
    assert read(store, key) == read(store, other_key)


def test_forgetting_the_key_erases_the_file(store, keys, blob):
    upload_id = uuid4()
    key, path = blob(upload_id=upload_id)
    keys.delete(upload_id)
    assert path.exists()
    assert_refused(store, key, Reason.BLOB_MISSING)


@pytest.mark.parametrize("left", [0, PREAMBLE_BYTES, PREAMBLE_BYTES + FRAME, -1])
def test_a_file_without_its_end_has_no_size(store, blob, left):
    key, path = blob()
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(TerminalError) as caught:
        store.size(key)
    assert caught.value.reason is Reason.BLOB_DAMAGED


def test_what_a_crash_tore_is_cut_off_and_gone_on_with(root, store):
    upload_id, path = uuid4(), None
    with store.open_part(upload_id) as part:
        part.write(b"a" * FRAME_BYTES)
        part.write(b"b" * 1000)
    path = root / "parts" / str(upload_id)
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[:-1000] + b"\0" * 1000, whole + b"\0" * 5000, whole[:-1] + b"x"):
        path.write_bytes(torn)
        with store.open_part(upload_id) as part:
            at = part.size
            assert at in {FRAME_BYTES, FRAME_BYTES + 1000}
            part.write(b"c" * 10)
        with store.open_part_for_reading(upload_id) as file:
            assert file.read() == (b"a" * FRAME_BYTES + b"b" * 1000)[:at] + b"c" * 10
        assert store.part_size(upload_id) == at + 10


def test_a_part_torn_in_its_first_bytes_is_begun_anew(root, store):
    upload_id = uuid4()
    store.open_part(upload_id).close()
    path = root / "parts" / str(upload_id)
    path.write_bytes(path.read_bytes()[:10])
    assert store.part_size(upload_id) == 0
    with store.open_part(upload_id) as part:
        assert part.size == 0
        part.write(CANARY)
    with store.open_part_for_reading(upload_id) as file:
        assert file.read() == CANARY


def test_a_sealed_part_may_be_gone_on_with_after_all(store):
    upload_id, key = uuid4(), str(uuid4())
    for content in (b"one", b"two"):
        with store.open_part(upload_id) as part:
            part.write(content)
            part.seal()
            part.seal()
    store.commit(upload_id, key)
    assert read(store, key) == b"onetwo"


def test_a_part_that_is_read_while_damaged_is_a_passing_trouble(root, store):
    upload_id = uuid4()
    with store.open_part(upload_id) as part:
        part.write(CANARY)
    path = root / "parts" / str(upload_id)
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes(stored)
    with store.open_part_for_reading(upload_id) as file, pytest.raises(TransientError):
        file.read()


def test_a_disk_that_fills_up_leaves_the_part_as_it_was(store, monkeypatch):
    upload_id, write, calls = uuid4(), os.write, []

    def fail_second(file, data):
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "full")
        return write(file, data)

    with store.open_part(upload_id) as part:
        part.write(b"abc")
        monkeypatch.setattr(os, "write", fail_second)
        with pytest.raises(LimitExceeded):
            part.write(b"x" * (2 * FRAME_BYTES))
        assert part.size == 3
        monkeypatch.setattr(os, "write", write)
        part.write(b"def")
    with store.open_part_for_reading(upload_id) as file:
        assert file.read() == b"abcdef"


def test_small_reads_and_large_ones(store, blob):
    key, _ = blob()
    with store.open(key) as file:
        assert [file.read(1), file.read(10)] == [CONTENT[:1], CONTENT[1:11]]
        assert file.read(FRAME_BYTES) == CONTENT[11 : FRAME_BYTES + 11]
        assert file.read() == CONTENT[FRAME_BYTES + 11 :]
        assert file.read(1) == b""


def test_an_empty_file(store, blob):
    key, _ = blob(b"")
    assert read(store, key) == b""


def test_a_wrapped_key_belongs_to_one_file_and_outlives_a_rotation():
    old, both, new = (Keys.parse(text) for text in ("a:" + "o" * 32, f"b:{'n' * 32},a:{'o' * 32}", "b:" + "n" * 32))
    file_id, secret = uuid4(), os.urandom(32)
    wrapped = KeyWrapper.for_files(old).wrap(secret, file_id)
    assert secret not in wrapped
    assert KeyWrapper.for_files(both).unwrap("a", wrapped, file_id) == secret
    assert KeyWrapper.for_files(both).key_id == "b"
    for wrapper, key_id, of in (
        (KeyWrapper.for_files(new), "a", file_id),
        (KeyWrapper.for_files(both), "b", file_id),
        (KeyWrapper.for_files(both), "a", uuid4()),
    ):
        with pytest.raises(TransientError):
            wrapper.unwrap(key_id, wrapped, of)
