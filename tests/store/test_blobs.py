"""Blobs are there whole or not at all, and are never read with other bytes than were written."""

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.store import BlobStore
from muskox.store.disk.blobs import CHUNK_BYTES, check_once, file_digest
from muskox.streams import stream

DATA = stream(0, "blob").bytes(3 * CHUNK_BYTES + 17)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path)


def arriving(blobs: BlobStore) -> list[Path]:
    return list((blobs.folder / "blobs" / "arriving").iterdir())


def flip_a_bit(path: Path, at: int = 1000) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 4]))


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several chunks"])
def test_what_is_put_is_read_again(blobs: BlobStore, data: bytes, tmp_path: Path) -> None:
    digest = blobs.put_bytes(data)
    assert digest == hashlib.sha256(data).hexdigest()
    assert blobs.read(digest) == data and blobs.size(digest) == len(data) and blobs.has_whole(digest)
    assert blobs.digests() == [digest] and blobs.path(digest).name == digest and arriving(blobs) == []
    source = tmp_path / "source"
    source.write_bytes(data)
    assert blobs.put_file(source) == digest == file_digest(source)
    blobs.check(digest)


def test_a_blob_that_is_not_here_is_unavailable(blobs: BlobStore) -> None:
    assert not blobs.has(DIGEST) and not blobs.has_whole(DIGEST)
    for read in (blobs.read, blobs.check, blobs.size):
        with pytest.raises(Unavailable, match=DIGEST):
            read(DIGEST)
    assert blobs.delete(DIGEST)


def test_a_flipped_bit_is_found_even_after_the_file_was_checked(blobs: BlobStore) -> None:
    digest = blobs.put_bytes(DATA)
    path = blobs.path(digest)
    check_once(path)
    flip_a_bit(path)
    for read in (blobs.read, blobs.check):
        with pytest.raises(Corrupt, match="another replica"):
            read(digest)
    with pytest.raises(Corrupt):
        check_once(path)
    assert not blobs.has_whole(digest)
    blobs.put_bytes(DATA)
    assert blobs.read(digest) == DATA


def test_a_file_is_digested_once_as_long_as_nobody_writes_to_it(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    path = blobs.path(blobs.put_bytes(DATA))
    digested: list[Path] = []
    plain = file_digest
    monkeypatch.setattr("muskox.store.disk.blobs.file_digest", lambda path: (digested.append(path), plain(path))[1])
    check_once(path)
    check_once(path)
    assert digested == [], "its bytes were digested when they came"
    stat = path.stat()
    flip_a_bit(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(Corrupt):
        check_once(path)
    assert digested == [path], "setting its times back hides nothing"
    monkeypatch.setattr("muskox.store.disk.blobs.CHECKED_S", -1.0)
    blobs.put_bytes(DATA)
    check_once(path)
    assert digested == [path, path], "an hour later it is digested again"


@pytest.fixture
def unreadable(blobs: BlobStore) -> str:
    """A blob whose file opens, and whose first read is a real EIO: nothing is mapped at address 0 of this process."""
    blobs.path(DIGEST).parent.mkdir()
    blobs.path(DIGEST).symlink_to("/proc/self/mem")
    return DIGEST


def test_what_the_disk_cannot_read_is_damage(blobs: BlobStore, unreadable: str) -> None:
    for look in (blobs.read, blobs.check, lambda digest: check_once(blobs.path(digest))):
        with pytest.raises(Corrupt, match=r"cannot be read from the disk .*: take another replica"):
            look(unreadable)
    assert not blobs.has_whole(unreadable)
    blobs.put_aside(unreadable)
    assert not blobs.has(unreadable) and (blobs.folder / "damaged" / unreadable).is_symlink()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES])
def test_what_somebody_else_is_to_blame_for_is_no_damage(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    digest = blobs.put_bytes(DATA)

    def refused(path: Path) -> str:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("muskox.store.disk.blobs.file_digest", refused)
    with pytest.raises(Unavailable, match="cannot be read now"):
        blobs.check(digest)


def test_a_folder_that_the_disk_cannot_list_is_passed_over(blobs: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = sorted(blobs.put_bytes(bytes([number])) for number in range(8))
    broken, plain = blobs.path(digests[3]).parent, Path.iterdir

    def listed(path: Path) -> Iterator[Path]:
        if path == broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return plain(path)

    monkeypatch.setattr(Path, "iterdir", listed)
    left = [digest for digest in digests if not digest.startswith(broken.name)]
    assert blobs.digests() == sorted(blobs.sizes()) == left and len(left) < 8


def test_the_names_of_one_folder_are_listed_alone(blobs: BlobStore) -> None:
    digests = [blobs.put_bytes(bytes([number])) for number in range(64)]
    folder = digests[0][:2]
    assert blobs.digests(folder) == sorted(digest for digest in digests if digest.startswith(folder))


def test_a_damaged_blob_that_cannot_be_moved_is_said(blobs: BlobStore) -> None:
    digest = blobs.put_bytes(DATA)
    (blobs.folder / "damaged").write_text("a file in the way")
    with pytest.raises(Unavailable, match="cannot write under"):
        blobs.put_aside(digest)


def test_a_blob_whose_bytes_changed_on_the_way_is_refused_and_leaves_nothing(blobs: BlobStore) -> None:
    with pytest.raises(Corrupt, match="send it again"), blobs.writer() as writer:
        writer.write(b"something else")
        writer.commit(DIGEST)
    assert blobs.digests() == [] and arriving(blobs) == []


def test_a_writer_that_is_not_committed_leaves_nothing(blobs: BlobStore) -> None:
    with blobs.writer() as writer:
        writer.write(DATA)
    assert blobs.digests() == [] and arriving(blobs) == []


def test_a_killed_writer_leaves_no_blob_and_the_next_start_cleans_up(blobs: BlobStore) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from muskox.store import BlobStore\n"
        "with BlobStore(Path(sys.argv[1])).writer() as writer:\n"
        "    writer.write(b'torn' * 1000); os.kill(os.getpid(), signal.SIGKILL)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(blobs.folder)], check=False)
    assert run.returncode == -signal.SIGKILL
    assert blobs.digests() == [] and len(arriving(blobs)) == 1
    blobs.remove_unfinished()
    assert arriving(blobs) == []


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "g" * 64, DIGEST[:-1], DIGEST + "0"])
def test_only_a_digest_names_a_blob(blobs: BlobStore, name: str) -> None:
    with pytest.raises(CallerError, match="64 hexadecimal"):
        blobs.path(name)


def test_a_full_disk_is_said_and_leaves_nothing(blobs: BlobStore) -> None:
    """The limit on a file's size stands in for the disk's: the kernel refuses the write in the same way."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from muskox.store import BlobStore; from muskox.errors import Unavailable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "try: BlobStore(Path(sys.argv[1])).put_bytes(bytes(1_000_000))\n"
        "except Unavailable as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(blobs.folder)], capture_output=True, text=True, check=True)
    assert "is full" in run.stdout and str(blobs.folder) in run.stdout
    assert blobs.digests() == [] and arriving(blobs) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_removal_spares_what_was_written_since(blobs: BlobStore) -> None:
    digest = blobs.put_bytes(b"x")
    written_ns = blobs.path(digest).stat().st_mtime_ns
    assert not blobs.delete(digest, unless_newer_than_ns=written_ns - 1) and blobs.has(digest)
    assert blobs.delete(digest, unless_newer_than_ns=written_ns) and not blobs.has(digest)
