"""What a start makes of the files: the newest whole snapshot, and the transactions in the logs after it.

A torn tail, of a write that nobody was promised, is cut off. Anything else that is damaged or missing is refused, with the file
and the place: going on without acknowledged transactions would be worse than not starting.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from muskox.errors import CallerError, Corrupt, PeerError
from muskox.keeper.disk.entries import FILE_HEAD_BYTES, Scan, Verdict
from muskox.keeper.disk.files import SYSTEM_DISK
from muskox.keeper.disk.loading import load, mapped
from muskox.keeper.disk.names import LOG, SNAPSHOT, DatedFile, folder_of, list_files
from muskox.keeper.disk.snapshot import remove_drafts, write_snapshot
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.node import wrap_long
from muskox.keeper.machine.tree import new_tree

EPOCH_BITS = 32  # the upper half of a zxid counts leaders, the lower half their transactions


class Recovered(NamedTuple):
    """The database as it was, how many transactions the next start would replay, and what a person should know."""

    database: Database
    transactions: int
    notes: list[str]


def recover(data_dir: Path, log_dir: Path | None = None) -> Recovered:
    """Return what `data_dir` holds, made ready to go on; an empty folder becomes that of a new server.

    Parameters
    ----------
    data_dir : where the snapshots lie, and the logs too unless `log_dir` is given
    log_dir : where the logs lie

    Raises
    ------
    CallerError
        If logs lie in `data_dir` although `log_dir` is another folder, or snapshots there.
    Corrupt
        If acknowledged transactions are damaged or missing.
    OSError
        If the files cannot be read or written.
    """
    folder, log_folder = folder_of(data_dir), folder_of(log_dir or data_dir)
    make_folder(folder)
    make_folder(log_folder)
    check_folders(folder, log_folder)
    remove_drafts(folder)
    notes: list[str] = []
    logs, snapshots = list_files(log_folder, LOG), list_files(folder, SNAPSHOT)
    with no_garbage_collection():
        database = begin(snapshots, logs, notes)
        replayed = sum(replay(log, log == logs[-1], database, notes) for log in relevant_logs(logs, database.zxid))
    check_reached(snapshots, database.zxid)
    if not snapshots:
        write_snapshot(folder, database.image())  # Apache starts on no log without one
    end_lost_sessions(database, notes)
    return Recovered(database, replayed, notes)


def make_folder(folder: Path) -> None:
    if not folder.exists():
        folder.mkdir(parents=True)
        SYSTEM_DISK.sync_folder(folder.parent)
        SYSTEM_DISK.sync_folder(folder.parent.parent)


def check_folders(folder: Path, log_folder: Path) -> None:
    """Refuse a log folder that was only half moved, as Apache does: starting without the logs would lose what is in them.

    Raises
    ------
    CallerError
        If a file lies in the wrong one of two folders.
    """
    if folder.samefile(log_folder):
        return
    if list_files(folder, LOG):
        raise CallerError(f"{folder} has logs, but the log folder is {log_folder}: stop, and move log.* there")
    if list_files(log_folder, SNAPSHOT):
        raise CallerError(f"{log_folder} has snapshots, but is the log folder: stop, and move snapshot.* to {folder}")


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """A million znodes have no cycles, and looking for some again and again doubles the time to load them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def begin(snapshots: list[DatedFile], logs: list[DatedFile], notes: list[str]) -> Database:
    """Return the database of the newest whole snapshot, or an empty one if there are no files.

    Raises
    ------
    Corrupt
        If there are files, but no whole snapshot of what was before them.
    """
    database = load_snapshot(snapshots, notes)
    if database is not None:
        return database
    if logs and logs[0].zxid > 1:
        raise Corrupt(f"the logs begin with {logs[0].path.name}, but there is no snapshot of what was before")
    return Database(new_tree(), {}, 0)


def check_reached(snapshots: list[DatedFile], zxid: int) -> None:
    """Refuse to end before the last snapshot: what it was named after has happened, even if it is damaged.

    Raises
    ------
    Corrupt
        If `zxid`, the last transaction that was found, is not as far.
    """
    if snapshots and snapshots[-1].zxid > zxid:
        raise Corrupt(
            f"transactions are missing: {snapshots[-1].path.name} is not whole, and what is left ends with zxid {zxid:#x}; "
            "restore that file, or the logs, from a copy"
        )


def load_snapshot(snapshots: list[DatedFile], notes: list[str]) -> Database | None:
    """Return the newest snapshot that is whole; None if there are none at all.

    Raises
    ------
    Corrupt
        If there are some, and none is whole.
    """
    for zxid, path in reversed(snapshots):
        try:
            tree, timeouts_ms, digest = load(path, zxid)
        except Corrupt as error:
            notes.append(f"passed over a snapshot: {error}")
            continue
        if digest is not None and digest != wrap_long(tree.digest()):
            notes.append(f"the tree's digest differs from the one in {path.name}")
        return Database(tree, timeouts_ms, zxid)
    if snapshots:
        raise Corrupt(f"none of the {len(snapshots)} snapshots in {snapshots[0].path.parent} is whole: {'; '.join(notes)}")
    return None


def relevant_logs(logs: list[DatedFile], zxid: int) -> list[DatedFile]:
    """Return the logs that may hold transactions after `zxid`: the last that starts no later, and all that follow."""
    earlier = [log for log in logs if log.zxid <= zxid + 1]
    later = [log for log in logs if log.zxid > zxid + 1]
    return earlier[-1:] + later


def replay(log: DatedFile, is_cutting: bool, database: Database, notes: list[str]) -> int:
    """Apply what `log` holds after the database's zxid, and return how many transactions that were.

    Raises
    ------
    Corrupt
        If acknowledged transactions are damaged or missing.
    OSError
        If the log cannot be read, or cut.
    """
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
            elif agrees and notes and entry.digest is not None:  # Apache's snapshots may be ahead of themselves for a while
                notes[:] = [note for note in notes if "digest" not in note]
            replayed += 1
    if is_cutting:
        finish_tail(log, scan, notes)
    return replayed


def check_gap(log: DatedFile, before: int, zxid: int) -> None:
    if zxid != before + 1 and zxid >> EPOCH_BITS == before >> EPOCH_BITS:
        raise Corrupt(f"transactions are missing: {log.path.name} goes on with zxid {zxid:#x} after {before:#x}")


def finish_tail(log: DatedFile, scan: Scan, notes: list[str]) -> None:
    """Cut a torn tail, or what was preallocated, off the last log; make sure that what was replayed from it is on disk."""
    if scan.end <= FILE_HEAD_BYTES:
        log.path.unlink()  # it holds nothing, and its name is the one that the next log needs
        SYSTEM_DISK.sync_folder(log.path.parent)
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
