"""What a start makes of the files: the newest whole snapshot, and the transactions in the logs after it.

A torn tail, of a write that nobody was promised, is cut off. Anything else that is damaged or missing is refused, with the file
and the place: going on without acknowledged transactions would be worse than not starting.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import NamedTuple

from muskox.errors import Corrupt, PeerError
from muskox.keeper.disk.entries import FILE_HEAD_BYTES, Bytes, Scan, Verdict
from muskox.keeper.disk.log import sync_folder
from muskox.keeper.disk.names import LOG, SNAPSHOT, DatedFile, folder_of, list_files
from muskox.keeper.disk.snapshot import DRAFT_SUFFIX, decode_snapshot, write_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.tree import new_tree

EPOCH_BITS = 32  # the upper half of a zxid counts leaders, the lower half their transactions


class Recovered(NamedTuple):
    """The database as it was, how many transactions the next start would replay, and what a person should know."""

    database: Database
    transactions: int
    notes: list[str]


def recover(data_dir: Path) -> Recovered:
    """Return what `data_dir` holds, made ready to go on; an empty folder becomes that of a new server.

    Raises
    ------
    Corrupt
        If acknowledged transactions are damaged or missing.
    OSError
        If the files cannot be read or written.
    """
    folder = folder_of(data_dir)
    if not folder.exists():
        folder.mkdir(parents=True)
        sync_folder(data_dir)
        sync_folder(data_dir.parent)
    for draft in folder.glob("*" + DRAFT_SUFFIX):
        draft.unlink()
    notes: list[str] = []
    logs = list_files(folder, LOG)
    database = load_snapshot(list_files(folder, SNAPSHOT), notes)
    if database is None:
        if logs and logs[0].zxid > 1:
            raise Corrupt(f"{folder} has logs from zxid {logs[0].zxid:#x} on, but no snapshot of what was before")
        database = Database(new_tree(), {}, 0)
        write_snapshot(folder, database.image())
    replayed = 0
    for log in relevant_logs(logs, database.zxid):
        replayed += replay(log, log == logs[-1], database, notes)
    end_lost_sessions(database, notes)
    return Recovered(database, replayed, notes)


def load_snapshot(snapshots: list[DatedFile], notes: list[str]) -> Database | None:
    """Return the newest snapshot that is whole; None if there are none at all."""
    for zxid, path in reversed(snapshots):
        try:
            return decode_snapshot(path.name, path.read_bytes(), zxid)
        except Corrupt as error:
            notes.append(f"passed over a snapshot: {error}")
    if snapshots:
        raise Corrupt(f"none of the {len(snapshots)} snapshots in {snapshots[0].path.parent} is whole: {'; '.join(notes)}")
    return None


def relevant_logs(logs: list[DatedFile], zxid: int) -> list[DatedFile]:
    """Return the logs that may hold transactions after `zxid`: the last that starts no later, and all that follow."""
    earlier = [log for log in logs if log.zxid <= zxid + 1]
    later = [log for log in logs if log.zxid > zxid + 1]
    return earlier[-1:] + later


def replay(log: DatedFile, is_last: bool, database: Database, notes: list[str]) -> int:
    """Apply what `log` holds after the database's zxid, and return how many transactions that were."""
    replayed = 0
    with mapped(log.path) as data:
        scan = Scan(log.path.name, data)
        for entry in scan:
            zxid = entry.header.zxid
            if zxid <= database.zxid:
                continue
            check_gap(log, database.zxid, zxid)
            try:
                agrees = database.replay(entry)
            except PeerError as error:
                raise Corrupt(f"{log.path.name} holds, at byte {scan.end}, what cannot be applied: {error}") from error
            if not agrees and not any("digest" in note for note in notes):
                notes.append(f"the tree's digest differs from the one in {log.path.name} from zxid {zxid:#x} on")
            replayed += 1
    if is_last:
        finish_tail(log, scan, notes)
    return replayed


def check_gap(log: DatedFile, before: int, zxid: int) -> None:
    if zxid != before + 1 and zxid >> EPOCH_BITS == before >> EPOCH_BITS:
        raise Corrupt(f"transactions are missing: {log.path.name} goes on with zxid {zxid:#x} after {before:#x}")


def finish_tail(log: DatedFile, scan: Scan, notes: list[str]) -> None:
    """Cut a torn tail, or what was preallocated, off the last log; make sure that what was replayed from it is on disk."""
    if scan.end <= FILE_HEAD_BYTES:
        log.path.unlink()  # it holds nothing, and its name is the one that the next log needs
        sync_folder(log.path.parent)
        return
    handle = os.open(log.path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(handle, scan.end)
        if scan.verdict is Verdict.TORN:
            notes.append(f"cut a torn write off {log.path.name} at byte {scan.end}; nothing in it was acknowledged")
        os.fsync(handle)
    finally:
        os.close(handle)


def end_lost_sessions(database: Database, notes: list[str]) -> None:
    """Name the ephemeral znodes whose sessions nobody knows: Apache drops them on a start, and so does the next expiry."""
    lost = [session for session in database.overlay.ephemerals if session not in database.timeouts_ms]
    if lost:
        notes.append(f"{len(lost)} sessions own ephemeral znodes but are unknown; their znodes will expire")


@contextmanager
def mapped(path: Path) -> Iterator[Bytes]:
    """Read a file as memory, so that a long log takes none."""
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            yield b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as data:
            yield data
