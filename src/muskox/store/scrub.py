"""A node's care of its own disk: every blob read again and digested on a schedule, damage put aside and told of.

It owns the pace (the whole disk once a period, never faster than a bound), what becomes of a damaged blob (it is moved out of
the way: it is never served again, and a person can look at it), and the node's DiskRecord. What to do about a loss is the
coordinator's to decide: it sees the record change. It knows digests and no datasets.
"""

import logging
import queue
import shutil
import threading
import time
from bisect import bisect_right
from collections.abc import Callable

from muskox.coordination import Config, Session, layout, stored
from muskox.errors import Corrupt, MuskoxError, Unavailable
from muskox.store.blobs import BlobStore

log = logging.getLogger(__name__)

DAY_S = 86_400.0
REPORT_S = 60.0  # between two reports where nothing was found
FOUND_MAX = 10_000  # blobs that wait to be looked at: a client that names rubbish makes no queue grow
PLACE_S = 30.0  # how often the place is kept at which a scrub is


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
        self._told: tuple[stored.DiskRecord, float] | None = None
        self._place_file = blobs.folder / "scrubbed"

    def doubt(self, digest: str) -> None:
        """Look at a blob soon: it was asked for, and was not there or not what its name says."""
        try:
            self._doubtful.put_nowait(digest)
        except queue.Full:
            log.warning("the scrubber has %d blobs to look at: %s is left to its next round", FOUND_MAX, digest)

    def stop(self) -> None:
        self._ended.set()

    def run(self) -> None:
        at = self._place()
        began_s = time.monotonic()
        while not self._ended.is_set():
            try:
                self._heed()
                at, pause_s = self._next(at, began_s)
                if at == "":
                    began_s = time.monotonic() + pause_s
            except Exception:  # bulkhead: a disk's trouble must not end the care for the rest of it
                log.exception("scrub")
                pause_s = REPORT_S
            self._pause(pause_s)

    def _pause(self, seconds: float) -> None:
        """Wait, but heed doubts as they come."""
        until_s = time.monotonic() + seconds
        while not self._ended.is_set() and (left_s := until_s - time.monotonic()) > 0:
            try:
                self._look(self._doubtful.get(timeout=min(left_s, 1.0)))
            except queue.Empty:
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

    def _next(self, at: str, began_s: float) -> tuple[str, float]:
        """Read the blob behind `at` again; return its name ("" at the end of a round) and how long to wait then."""
        period_s = self._config()["scrub_days"] * DAY_S
        digests = self._blobs.digests()
        behind = bisect_right(digests, at)
        if behind == len(digests):
            self._scrubbed_ms = time.time_ns() // 1_000_000
            self._blobs.remove_unfinished(older_than_s=DAY_S)
            self._keep_place("")
            return "", max(began_s + period_s - time.monotonic(), 1.0)
        size, took_s = self._read(digests[behind])
        self._keep_place(digests[behind])
        fair_s = period_s / len(digests)
        bounded_s = size / (self._config()["scrub_mb_per_s"] * (1 << 20))
        return digests[behind], max(min(fair_s, period_s), bounded_s) - took_s

    def _read(self, digest: str) -> tuple[int, float]:
        began_s = time.monotonic()
        self._look(digest)
        try:
            return self._blobs.size(digest), time.monotonic() - began_s
        except Unavailable:
            return 0, time.monotonic() - began_s

    def _look(self, digest: str) -> None:
        try:
            self._blobs.check(digest)
        except Corrupt as error:
            log.error("%s", error)
            self._blobs.put_aside(digest)
            self._bad += 1
        except Unavailable:
            self._bad += 1  # it was here, or was asked for in vain: the coordinator compares with what should be here

    def _report(self, *, is_urgent: bool) -> None:
        """Write what is known of the disk, at once if something was found, else now and then."""
        now_s = time.monotonic()
        is_urgent = is_urgent or self._told is None or self._told[0].bad != self._bad
        if not is_urgent and self._told is not None and now_s - self._told[1] < REPORT_S:
            return
        sizes = self._blobs.sizes()
        record = stored.DiskRecord(
            bytes_free=shutil.disk_usage(self._blobs.folder).free,
            bytes_held=sum(sizes.values()),
            blobs=len(sizes),
            bad=self._bad,
            scrubbed_ms=self._scrubbed_ms,
            folder_id=self._folder_id,
        )
        path = layout.disk(self._node)
        try:
            if self._session.create(path, record) is None:
                self._session.set(path, record)
        except MuskoxError as error:
            log.warning("the state of the disk is not told: %s", error)
            return
        self._told = (record, now_s)

    def _place(self) -> str:
        try:
            return self._place_file.read_text().strip()
        except OSError:
            return ""

    def _keep_place(self, digest: str) -> None:
        try:
            if not self._place_file.exists() or time.time() - self._place_file.stat().st_mtime > PLACE_S or not digest:
                self._place_file.write_text(digest)
        except OSError as error:  # a full disk: the round begins anew after a restart
            log.warning("the place of the scrub is not kept: %s", error)
