"""A node's care of its own disk: every blob read again and digested on a schedule, damage put aside and told of.

It owns the pace (the whole disk once a period, never faster than a bound), what becomes of a damaged blob (it is moved out of
the way: it is never served again, and a person can look at it), and the node's DiskRecord. What to do about a loss is the
coordinator's to decide: it sees the record change. It knows digests and no datasets.
"""

import contextlib
import logging
import math
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator

import msgspec

from muskox.coordination import Config, Session, layout, stored
from muskox.errors import Corrupt, MuskoxError, Unavailable
from muskox.store.disk.blobs import BlobStore

log = logging.getLogger(__name__)

DAY_S = 86_400.0
NEWS_S = 5.0  # between two reports at least where blobs came or went
LISTING_SHARE = 0.05  # of the time, that reports may take
FREE_SHARE = 0.01  # of the disk: less is no news
REPORT_S = 60.0  # between two reports where nothing was found
FOUND_MAX = 10_000  # blobs that wait to be looked at: a client that names rubbish makes no queue grow
PLACE_S = 30.0  # how often the place is kept at which a scrub is
FOLDERS = [f"{number:02x}" for number in range(256)]


class Scrubber(threading.Thread):
    """See the head of this file.

    Parameters
    ----------
    node, folder_id : whose disk it is
    config : the live settings: scrub_days, scrub_mb_per_s
    """

    def __init__(self, session: Session, blobs: BlobStore, node: str, folder_id: str, config: Callable[[], Config]) -> None:
        super().__init__(name="scrub", daemon=True)
        self._session = session
        self._blobs = blobs
        self._node = node
        self._folder_id = folder_id
        self._config = config
        self._doubtful: queue.Queue[str] = queue.Queue(FOUND_MAX)
        self._ended = threading.Event()
        self._bad = 0
        self._scrubbed_ms = 0
        self._told: stored.DiskRecord | None = None
        self._told_s = -math.inf
        self._changes = 0
        self._rest_s = 0.0  # after a report, by how long it took
        self._place_file = blobs.folder / "scrubbed"
        self._round = Round(blobs, self._place(), time.monotonic())

    @property
    def told(self) -> stored.DiskRecord | None:
        """What was told of the disk last."""
        return self._told

    def doubt(self, digest: str) -> None:
        """Look at a blob soon: it was asked for, and was not there or not what its name says."""
        try:
            self._doubtful.put_nowait(digest)
        except queue.Full:
            log.warning("the scrubber has %d blobs to look at: %s is left to its next round", FOUND_MAX, digest)

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        while not self._ended.is_set():
            try:
                self._heed()
                self._pause(self._next())
            except Exception:  # bulkhead: a disk's trouble must not end the care for the rest of it
                log.exception("scrub")
                self._ended.wait(REPORT_S)

    def _pause(self, seconds: float) -> None:
        """Wait, but heed doubts as they come."""
        until_s = time.monotonic() + seconds
        while not self._ended.is_set() and (left_s := until_s - time.monotonic()) > 0:
            try:
                self._look(self._doubtful.get(timeout=min(left_s, 1.0)))
            except queue.Empty:
                self._report(is_urgent=False)
                continue
            self._report(is_urgent=True)

    def _heed(self) -> None:
        is_urgent = False
        while True:
            try:
                self._look(self._doubtful.get_nowait())
                is_urgent = True
            except queue.Empty:
                break
        self._report(is_urgent=is_urgent)

    def _next(self) -> float:
        """Read the round's next blob again, or begin the next round after its last; return how many seconds to wait then."""
        period_s = self._config()["scrub_days"] * DAY_S
        digest = self._round.next()
        if digest is None:
            pause_s = max(self._round.began_s + period_s - time.monotonic(), 1.0)
            self._round = Round(self._blobs, "", time.monotonic() + pause_s)
            self._scrubbed_ms = time.time_ns() // 1_000_000
            self._keep_place("")
            self._blobs.remove_unfinished(older_than_s=DAY_S)
            return pause_s
        size, took_s = self._read(digest)
        self._keep_place(digest)
        fair_s = period_s / max(self._round.count, 1)
        bounded_s = size / (self._config()["scrub_mb_per_s"] * (1 << 20))
        return max(min(fair_s, period_s), bounded_s) - took_s

    def _read(self, digest: str) -> tuple[int, float]:
        began_s = time.monotonic()
        self._look(digest)
        try:
            return self._blobs.size(digest), time.monotonic() - began_s
        except (Unavailable, Corrupt):
            return 0, time.monotonic() - began_s

    def _look(self, digest: str) -> None:
        try:
            self._blobs.check(digest)
        except Corrupt as error:
            log.error("%s", error)
            self._bad += 1
            self._put_aside(digest)
        except Unavailable:
            self._bad += 1  # it was here, or was asked for in vain: the coordinator compares with what should be here

    def _put_aside(self, digest: str) -> None:
        try:
            self._blobs.put_aside(digest)
        except Unavailable as error:  # it stays, and is found again by whoever reads it: nobody is given wrong bytes
            log.error("the damaged blob %s is not put aside: %s", digest, error)

    def _report(self, *, is_urgent: bool) -> None:
        """Write what is known of the disk: at once if something was found, soon if blobs came or went, else if it is news."""
        now_s = time.monotonic()
        changes = self._blobs.changes
        is_urgent = is_urgent or self._told is None or self._told.bad != self._bad
        if not is_urgent and now_s < self._told_s + (NEWS_S if changes != self._changes else REPORT_S) + self._rest_s:
            return
        path = layout.disk(self._node)
        try:
            sizes = self._blobs.sizes()
            record = stored.DiskRecord(
                bytes_free=shutil.disk_usage(self._blobs.folder).free,
                bytes_held=sum(sizes.values()),
                blobs=len(sizes),
                bad=self._bad,
                scrubbed_ms=self._scrubbed_ms,
                folder_id=self._folder_id,
            )
            if is_urgent or is_news(record, self._told, shutil.disk_usage(self._blobs.folder).total):
                if self._session.create(path, record) is None:
                    self._session.set(path, record)
                self._told = record
        except (MuskoxError, OSError) as error:
            log.warning("the state of the disk is not told: %s", error)
            return
        self._told_s, self._changes = now_s, changes
        self._rest_s = (time.monotonic() - now_s) / LISTING_SHARE

    def _place(self) -> str:
        try:
            return self._place_file.read_text().strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _keep_place(self, digest: str) -> None:
        try:
            if not self._place_file.exists() or time.time() - self._place_file.stat().st_mtime > PLACE_S or not digest:
                self._place_file.write_text(digest)
        except OSError as error:  # a full disk: the round begins anew after a restart
            log.warning("the place of the scrub is not kept: %s", error)


def is_news(record: stored.DiskRecord, told: stored.DiskRecord | None, disk_bytes: int) -> bool:
    """Return whether the coordinator, whom every report wakes, should hear of it."""
    if told is None or abs(record.bytes_free - told.bytes_free) > FREE_SHARE * disk_bytes:
        return True
    return msgspec.structs.replace(record, bytes_free=told.bytes_free) != told


class Round:
    """One round over a disk, in order of names: the next blob, and how many there were when it began.

    It lists one of the 256 folders at a time: what comes into a folder after that was digested when it came.

    at : the blob that was read last, by the process before; "" at the beginning
    began_s : by the monotonic clock
    """

    def __init__(self, blobs: BlobStore, at: str, began_s: float) -> None:
        self.began_s = began_s
        self.count = 0
        self._blobs = blobs
        self._at = at
        self._folders = iter([folder for folder in FOLDERS if folder >= at[:2]])
        self._listed: Iterator[str] = iter(())

    def next(self) -> str | None:
        """Return the blob to read next, or None if that was all. The round has moved on, whatever becomes of it."""
        if not self.count:
            self.count = self._counted()
        while True:
            for digest in self._listed:
                if digest > self._at and self._blobs.has(digest):  # it may have been deleted since it was listed
                    return digest
            folder = next(self._folders, None)
            if folder is None:
                return None
            self._listed = iter(self._blobs.digests(folder))

    def _counted(self) -> int:
        count = 0
        for folder in FOLDERS:
            with contextlib.suppress(OSError):  # it is told of when the round comes there
                count += len(self._blobs.digests(folder))
        return count
