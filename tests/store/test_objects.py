"""Blobs in an object store are there whole or not at all, and what comes back is what was put, or an error that says why.

Run against moto's S3 server over HTTP, a local folder and fsspec's memory. Not run: HDFS, Google's and Azure's stores.
"""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from object_server import REASON, ObjectServer, Wrong, is_installed

from muskox.errors import CallerError, Corrupt, Unavailable
from muskox.store.disk.blobs import BlobStore
from muskox.store.objects.filesystems import Patience
from muskox.store.objects.object_blobs import SMALL_BYTES_MAX, ObjectBlobs

SMALL = b"a small blob"
LARGE = os.urandom(1 << 20) * 41  # five parts
DATA = {"empty": b"", "small": SMALL, "just small": b"s" * SMALL_BYTES_MAX, "large": LARGE}
SHORT = Patience(connect_s=1, stall_s=1, attempts=2)
WAIT_SECONDS_MAX = 60.0


def name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def key(data: bytes) -> str:
    return f"ox/blobs/{name(data)[:2]}/{name(data)}"


@pytest.fixture(scope="module")
def environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in ObjectServer.environment.items():
            patch.setenv(variable, value)
        yield


@pytest.fixture(scope="module")
def server(environment: None) -> Iterator[ObjectServer]:
    if not is_installed():
        pytest.skip(REASON)
    with ObjectServer() as started:
        yield started


@dataclass
class Bucket:
    """An empty bucket of the server, where nothing goes wrong yet."""

    server: ObjectServer
    name: str

    @property
    def url(self) -> str:
        return self.server.url(f"{self.name}/ox")

    def keys(self) -> list[str]:
        """Return the objects' keys; where the last one of a folder is deleted, pyarrow leaves an empty one that ends in "/"."""
        return [each for each in self.server.objects(self.name) if not each.endswith("/")]

    def get(self, data: bytes) -> bytes:
        """Return what lies where the blob of `data` should."""
        return self.server.get_object(self.name, key(data))


@pytest.fixture
def s3(server: ObjectServer) -> Iterator[Bucket]:
    bucket = Bucket(server, server.make_bucket())
    server.requests()
    yield bucket
    server.go_wrong()


@pytest.fixture(params=["s3", "file", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectBlobs:
    match request.param:
        case "s3":
            return ObjectBlobs(request.getfixturevalue("s3").url)
        case "file":
            return ObjectBlobs(f"file://{tmp_path}/a%20folder")
        case _:
            return ObjectBlobs(f"memory://{uuid.uuid4().hex}/ox")


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
def test_what_is_put_is_got_fetched_and_opened_again(blobs: ObjectBlobs, data: bytes, tmp_path: Path) -> None:
    digest, source, cache = name(data), tmp_path / "source", BlobStore(tmp_path / "cache")
    source.write_bytes(data)
    assert not blobs.has(digest)
    for each in (data, source):
        blobs.put(each, digest)
        assert blobs.has(digest) and blobs.size(digest) == len(data)
        assert blobs.get(digest) == data
    assert blobs.fetch(digest, cache).read_bytes() == data and cache.has_whole(digest)
    with blobs.open(digest) as file:
        assert file.read_at(len(data) // 2, len(data) // 4) == data[len(data) // 4 :][: len(data) // 2]
    blobs.delete([digest, digest])
    assert not blobs.has(digest)
    blobs.delete([digest])


def test_a_blob_that_is_not_there_is_unavailable(blobs: ObjectBlobs, tmp_path: Path) -> None:
    cache = BlobStore(tmp_path / "cache")
    for read in (blobs.get, blobs.size, blobs.open, lambda digest: blobs.fetch(digest, cache)):
        with pytest.raises(Unavailable, match=rf"blob {name(SMALL)} is not in \w+://"):
            read(name(SMALL))
    assert list(blobs.list()) == [] and cache.digests() == []


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "A" * 64, "0" * 63])
def test_only_a_digest_names_a_blob(blobs: ObjectBlobs, digest: str) -> None:
    for use in (blobs.get, blobs.has, lambda each: blobs.put(SMALL, each), lambda each: blobs.delete([each])):
        with pytest.raises(CallerError, match="64 hexadecimal"):
            use(digest)


def test_the_list_tells_digest_bytes_and_time_in_order(blobs: ObjectBlobs) -> None:
    before_ns = time.time_ns()
    all_data = [f"blob {index}".encode() * (index + 1) for index in range(40)]
    for data in all_data:
        blobs.put(data, name(data))
    listed = list(blobs.list())
    assert [(digest, size) for digest, size, _ in listed] == sorted((name(data), len(data)) for data in all_data)
    assert all(before_ns - 10**9 <= modified_ns <= time.time_ns() + 10**9 for _, _, modified_ns in listed)
    blobs.delete(digest for digest, _, _ in listed[:-1])
    assert [digest for digest, _, _ in blobs.list()] == [listed[-1][0]]


def test_a_blob_that_is_put_again_is_new_again(tmp_path: Path) -> None:
    blobs = ObjectBlobs(f"file://{tmp_path}")
    blobs.put(SMALL, name(SMALL))
    os.utime(blobs.path(name(SMALL)), (1, 1))
    assert [modified_ns for _, _, modified_ns in blobs.list()] == [10**9]
    before_ns = time.time_ns()
    blobs.put(SMALL, name(SMALL))
    assert all(modified_ns >= before_ns - 10**7 for _, _, modified_ns in blobs.list())


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_bytes_that_are_not_those_of_their_name_are_refused_and_never_seen(blobs: ObjectBlobs, data: bytes) -> None:
    with pytest.raises(Corrupt, match="has the digest"):
        blobs.put(data, name(b"something else"))
    assert list(blobs.list()) == []


def test_bytes_that_changed_in_the_store_are_never_handed_out(tmp_path: Path) -> None:
    blobs, cache = ObjectBlobs(f"file://{tmp_path}/store"), BlobStore(tmp_path / "cache")
    blobs.put(SMALL, name(SMALL))
    Path(blobs.path(name(SMALL))).write_bytes(SMALL[::-1])
    for read in (blobs.get, lambda digest: blobs.fetch(digest, cache)):
        with pytest.raises(Corrupt, match=f"blob {name(SMALL)} .* has other bytes than were written"):
            read(name(SMALL))
    assert cache.digests() == [] and files_below(cache.folder) == []
    blobs.put(SMALL, name(SMALL))
    assert blobs.get(name(SMALL)) == SMALL


def test_bytes_that_changed_on_the_way_are_never_handed_out(s3: Bucket, tmp_path: Path) -> None:
    blobs, cache = ObjectBlobs(s3.url), BlobStore(tmp_path)
    blobs.put(SMALL, name(SMALL))
    for read in (blobs.get, lambda digest: blobs.fetch(digest, cache)):
        s3.server.go_wrong(Wrong("GET", "flip"))
        with pytest.raises(Corrupt):
            read(name(SMALL))
    assert blobs.get(name(SMALL)) == SMALL


def test_a_small_blob_is_one_put_and_a_large_one_is_seen_when_it_is_complete(s3: Bucket) -> None:
    blobs = ObjectBlobs(s3.url)
    blobs.put(SMALL, name(SMALL))
    assert s3.server.requests() == [f"PUT /{s3.name}/{key(SMALL)}", f"HEAD /{s3.name}/{key(SMALL)}"]
    blobs.put(LARGE, name(LARGE))
    requests = s3.server.requests()
    assert requests[0] == f"POST /{s3.name}/{key(LARGE)}?uploads" and requests[-1] == f"HEAD /{s3.name}/{key(LARGE)}"
    assert sum("partNumber=" in request for request in requests) == len(requests) - 3 >= 4
    assert s3.keys() == sorted([key(SMALL), key(LARGE)])


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_upload_that_loses_a_part_is_an_error_and_leaves_what_was_there(s3: Bucket, number: int) -> None:
    blobs = ObjectBlobs(s3.url)
    s3.server.go_wrong(Wrong(rf"PUT .*partNumber={number}\b", "AccessDenied", 403, 100))
    with pytest.raises(Unavailable, match="access is refused"):
        blobs.put(LARGE, name(LARGE))
    assert s3.keys() == []
    s3.server.go_wrong()
    blobs.put(LARGE, name(LARGE))
    s3.server.go_wrong(Wrong(rf"PUT .*partNumber={number}\b", "AccessDenied", 403, 100))
    with pytest.raises(Unavailable):
        blobs.put(LARGE, name(LARGE))
    assert s3.get(LARGE) == LARGE


def test_a_store_that_is_busy_is_asked_again_but_not_for_ever(s3: Bucket) -> None:
    blobs = ObjectBlobs(s3.url)
    s3.server.go_wrong(Wrong("PUT", "SlowDown", 503, 2), Wrong(".*partNumber=2", "InternalError", 500, 1))
    blobs.put(SMALL, name(SMALL))
    blobs.put(LARGE, name(LARGE))
    s3.server.go_wrong(Wrong("GET", "SlowDown", 503, 2))
    assert blobs.get(name(LARGE)) == LARGE
    s3.server.go_wrong(Wrong("HEAD", "SlowDown", 503, 10**6))
    s3.server.requests()
    with pytest.raises(Unavailable, match=rf"blob {name(SMALL)}: s3://{s3.name}/ox says"):
        blobs.size(name(SMALL))
    assert len(s3.server.requests()) == 3


def test_an_answer_that_breaks_off_is_read_again(s3: Bucket, tmp_path: Path) -> None:
    blobs = ObjectBlobs(s3.url)
    blobs.put(LARGE, name(LARGE))
    s3.server.go_wrong(Wrong("GET", "cut", times=2))
    assert blobs.get(name(LARGE)) == LARGE
    s3.server.go_wrong(Wrong("GET", "cut", times=2))
    assert blobs.fetch(name(LARGE), BlobStore(tmp_path)).read_bytes() == LARGE


def test_a_source_with_other_bytes_starts_no_upload(s3: Bucket, tmp_path: Path) -> None:
    blobs, source = ObjectBlobs(s3.url), tmp_path / "source"
    blobs.put(LARGE, name(LARGE))
    source.write_bytes(LARGE[: len(LARGE) // 2])
    s3.server.requests()
    with pytest.raises(Corrupt, match="has the digest"):
        blobs.put(source, name(LARGE))
    with pytest.raises(CallerError, match="cannot read"):
        blobs.put(tmp_path / "nothing", name(SMALL))
    assert s3.server.requests() == [] and s3.get(LARGE) == LARGE


def test_a_source_that_fails_while_it_is_sent_leaves_no_torn_blob(s3: Bucket, tmp_path: Path) -> None:
    huge, source = os.urandom(1 << 20) * 200, tmp_path / "source"
    source.write_bytes(huge)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(ObjectBlobs(s3.url).put, source, name(huge))
        wait_for_request(s3.server, "?uploads")
        os.truncate(source, len(huge) - 1)
        with pytest.raises(Corrupt, match="has the digest"):
            work.result(WAIT_SECONDS_MAX)
    assert s3.keys() == []


def test_a_process_that_is_killed_while_it_sends_leaves_what_was_there(s3: Bucket, tmp_path: Path) -> None:
    huge, source = os.urandom(1 << 20) * 200, tmp_path / "source"
    source.write_bytes(huge)
    ObjectBlobs(s3.url).put(huge, name(huge))
    s3.server.requests()
    code = (
        "import sys; from pathlib import Path; from muskox.store.objects.object_blobs import ObjectBlobs\n"
        "ObjectBlobs(sys.argv[1]).put(Path(sys.argv[2]), sys.argv[3])"
    )
    with subprocess.Popen([sys.executable, "-c", code, s3.url, str(source), name(huge)]) as process:
        wait_for_request(s3.server, "partNumber=")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert s3.keys() == [key(huge)] and s3.get(huge) == huge


def wait_for_request(server: ObjectServer, part: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not any(part in request for request in server.requests()):
        assert time.monotonic() < deadline, f"no request {part!r} came"
        time.sleep(0.001)


@pytest.mark.parametrize("what", ["put", "get", "fetch"])
def test_a_server_that_is_killed_in_the_middle_is_unavailable_and_leaves_nothing(
    environment: None, tmp_path: Path, what: str
) -> None:
    if not is_installed():
        pytest.skip(REASON)
    huge = os.urandom(1 << 20) * 150
    cache = BlobStore(tmp_path)
    with ObjectServer() as server, ThreadPoolExecutor(1) as pool:
        bucket = server.make_bucket()
        blobs = ObjectBlobs(server.url(f"{bucket}/ox"), SHORT)
        if what == "put":
            work = pool.submit(blobs.put, huge, name(huge))
        else:
            blobs.put(huge, name(huge))
            work = pool.submit(blobs.fetch, name(huge), cache) if what == "fetch" else pool.submit(blobs.get, name(huge))
        wait_for_request(server, "partNumber=" if what == "put" else f"GET /{bucket}/{key(huge)}")
        server.kill()
        with pytest.raises(Unavailable, match=f"blob {name(huge)}: s3://{bucket}/ox (does not answer|says .)"):
            work.result(WAIT_SECONDS_MAX)
        server.start()
        blobs = ObjectBlobs(server.url(f"{server.make_bucket()}/ox"), SHORT)
        assert list(blobs.list()) == [] and files_below(cache.folder) == []
        blobs.put(SMALL, name(SMALL))
        assert blobs.get(name(SMALL)) == SMALL


def test_a_server_that_stalls_is_unavailable_in_bounded_time_and_holds_up_nobody_else(s3: Bucket) -> None:
    blobs = ObjectBlobs(s3.url, SHORT)
    blobs.put(SMALL, name(SMALL))
    longest_s, is_over = 0.0, threading.Event()

    def beat() -> None:  # a stream that is left to the collector would stop all threads until it gives up
        nonlocal longest_s
        last = time.monotonic()
        while not is_over.wait(0.01):
            now = time.monotonic()
            longest_s, last = max(longest_s, now - last), now

    beating = threading.Thread(target=beat)
    beating.start()
    s3.server.pause()
    try:
        for use in (lambda: blobs.get(name(SMALL)), lambda: blobs.put(LARGE, name(LARGE))):
            began = time.monotonic()
            with pytest.raises(Unavailable, match="does not answer"):
                use()
            assert time.monotonic() - began < WAIT_SECONDS_MAX
    finally:
        s3.server.resume()
        is_over.set()
        beating.join()
    assert longest_s < 2.0
    assert blobs.get(name(SMALL)) == SMALL


def test_many_threads_may_put_and_get_at_once(blobs: ObjectBlobs) -> None:
    all_data = [f"blob {index % 20}".encode() * 1000 for index in range(60)]

    def put_and_get(data: bytes) -> bool:
        blobs.put(data, name(data))
        return blobs.get(name(data)) == data

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(put_and_get, all_data))
    assert len(list(blobs.list())) == 20


def test_a_killed_writer_leaves_no_blob_and_what_it_left_is_removed(tmp_path: Path) -> None:
    blobs = ObjectBlobs(f"file://{tmp_path}")
    arriving = tmp_path / "blobs" / "arriving"
    arriving.mkdir(parents=True)
    (arriving / "torn").write_bytes(b"torn")
    (arriving / "new").write_bytes(b"on its way")
    os.utime(arriving / "torn", (1, 1))
    assert list(blobs.list()) == []
    blobs.remove_unfinished(before_ns=2 * 10**9)
    assert [path.name for path in arriving.iterdir()] == ["new"]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk's: the kernel refuses the write in the same way."""
    code = (
        "import resource, sys; from muskox.errors import Unavailable\n"
        "from muskox.store.objects.object_blobs import ObjectBlobs\n"
        "import hashlib; data = bytes(1_000_000); blobs = ObjectBlobs(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))\n"
        "try: blobs.put(data, hashlib.sha256(data).hexdigest())\n"
        "except Unavailable as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", code, f"file://{tmp_path}"], capture_output=True, text=True, check=True)
    assert "there is no space left" in run.stdout
    assert files_below(tmp_path) == []


# -- founding -------------------------------------------------------------------------------------------------------------


def test_a_store_that_works_passes_the_check_and_keeps_nothing_of_it(blobs: ObjectBlobs) -> None:
    blobs.check()
    assert list(blobs.list()) == []


def test_the_check_says_what_to_do_about_a_store_that_does_not_work(s3: Bucket, tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"^a first blob in s3://nowhere/ox: there is no such bucket: make it"):
        ObjectBlobs(s3.server.url("nowhere/ox")).check()
    for code, advice in (("AccessDenied", "access is refused"), ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
                         ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY")):  # fmt: skip
        s3.server.go_wrong(Wrong("PUT", code, 403, 10))
        with pytest.raises(CallerError, match=advice):
            ObjectBlobs(s3.url).check()
    s3.server.go_wrong(Wrong("DELETE", "AccessDenied", 403, 10))
    with pytest.raises(CallerError, match="access is refused"):
        ObjectBlobs(s3.url).check()
    with pytest.raises(Unavailable, match=r"does not answer .*: check its endpoint"):
        ObjectBlobs(s3.url.replace(str(s3.server.port), "9"), SHORT).check()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Unavailable, match="a first blob: file://"):
        ObjectBlobs(f"file://{tmp_path}/file/ox").check()


def test_opening_this_file_of_the_room_starts_no_thread_and_imports_no_s3() -> None:
    code = "import os, sys; import muskox.store.objects.object_blobs, muskox.store.disk.cache; " \
           "print(len(os.listdir('/proc/self/task')), " \
           "any('fs' in name.split('.')[-1] for name in sys.modules if name.startswith('pyarrow.')))"  # fmt: skip
    plain = subprocess.run(
        [sys.executable, "-c", "import os, sys; import pyarrow; print(len(os.listdir('/proc/self/task')))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == [plain.stdout.strip(), "False"]
