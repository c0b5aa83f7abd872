"""What a keeper's folder holds, told to a person who must decide: every file, what is whole, and up to where it can go on.

It reads only, so it may be asked about a folder in use; the last log may then end in a write that is just being made.
"""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from muskox.errors import CallerError, Corrupt
from muskox.keeper.disk.entries import FILE_HEAD_BYTES, Scan, Verdict
from muskox.keeper.disk.loading import load, mapped
from muskox.keeper.disk.lock import find_holder
from muskox.keeper.disk.names import LOG, SNAPSHOT, VERSION_FOLDER, DatedFile, folder_of, list_files
from muskox.keeper.disk.recovery import (
    EPOCH_BITS,
    begin,
    check_folders,
    check_reached,
    no_garbage_collection,
    relevant_logs,
    replay,
)
from muskox.keeper.machine.database import Database
from muskox.keeper.machine.node import wrap_long

APACHE_ENTRY_BYTES_MAX = 2 * 0xFFFFF  # jute.maxbuffer, and as much again for what a server adds


class State(Enum):
    """How a file is."""

    WHOLE = "whole"
    EMPTY = "empty"  # a log that was begun, and nothing written
    TORN = "torn"  # ends in a write that nobody was promised; a start cuts it off
    DAMAGED = "damaged"  # what was acknowledged has changed


class FileKind(Enum):
    LOG = "log"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One log or snapshot.

    Parameters
    ----------
    path, kind, size_bytes, state : which file, and how it is
    zxid_first, zxid_last : the first and last transaction that can be read from a log; a snapshot has the last only
    count : transactions that can be read from a log, znodes of a snapshot
    at : the byte at which what cannot be read begins
    entry_bytes_max : the longest entry of a log; Apache needs a jute.maxbuffer of at least half of it
    has_digest : whether it says the digest of the tree
    detail : a sentence where something is to be said
    """

    path: Path
    kind: FileKind
    size_bytes: int
    state: State
    zxid_first: int | None = None
    zxid_last: int | None = None
    count: int = 0
    at: int | None = None
    entry_bytes_max: int = 0
    has_digest: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FolderReport:
    """A keeper's files together.

    Parameters
    ----------
    files : snapshots and logs, oldest first
    holder : the pid of the keeper that has the folder locked, None if it is free
    starts : whether a keeper would start on it
    zxid : the last transaction that a start would have; None if it would not start
    znodes, sessions, ephemerals : what it would hold then
    digest : what the tree's digest says: "agrees", "differs", or "unknown" if no file says one
    truncate_at : if it would not start, the last transaction that `repair` can go back to; None if there is none
    problems : sentences on what is damaged or missing, each with file, offset and zxid where there are any
    notes : sentences on what a start would mend or pass over
    advice : what to do
    """

    data_dir: Path
    log_dir: Path
    files: tuple[FileReport, ...]
    holder: str | None
    starts: bool
    zxid: int | None
    znodes: int
    sessions: int
    ephemerals: int
    digest: str
    truncate_at: int | None
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    advice: str

    @property
    def is_whole(self) -> bool:
        return not self.problems


def check(data_dir: Path, log_dir: Path | None = None) -> FolderReport:
    """Return how the files in `data_dir`, and the logs in `log_dir` if they lie elsewhere, are; nothing is changed.

    Raises
    ------
    CallerError
        If there is no keeper's or ZooKeeper's folder, or files lie in the wrong one of two.
    OSError
        If the disk refuses.
    """
    folder, log_folder = find_folders(data_dir, log_dir)
    snapshots, logs = list_files(folder, SNAPSHOT), list_files(log_folder, LOG)
    problems: list[str] = []
    notes: list[str] = []
    database: Database | None = None
    with no_garbage_collection():
        files = (*(report_snapshot(each) for each in snapshots), *(report_log(each) for each in logs))
        try:
            database = begin(snapshots, logs, [])
            for log in relevant_logs(logs, database.zxid):
                replay(log, False, database, notes)
            check_reached(snapshots, database.zxid)
        except Corrupt as error:
            problems.append(str(error))
    starts = not problems
    for each in files:
        if each.state is State.DAMAGED and each.detail not in problems:
            problems.append(each.detail + (", but a start does not need it" if starts else ""))
        elif each.state is State.TORN:
            notes.append(each.detail)
        if each.entry_bytes_max > APACHE_ENTRY_BYTES_MAX:
            notes.append(
                f"{each.path.name} has a transaction of {each.entry_bytes_max} bytes: Apache ZooKeeper reads it only with "
                f"-Djute.maxbuffer={each.entry_bytes_max} on its server"
            )
    differs = any("digest" in said for said in (*notes, *(each.detail for each in files)))
    says = any(each.has_digest for each in files)
    report = FolderReport(
        data_dir=data_dir,
        log_dir=log_dir or data_dir,
        files=files,
        holder=find_holder(data_dir),
        starts=starts,
        zxid=database.zxid if database and starts else None,
        znodes=len(database.tree.nodes) if database else 0,
        sessions=len(database.timeouts_ms) if database else 0,
        ephemerals=sum(len(paths) for paths in database.overlay.ephemerals.values()) if database else 0,
        digest="differs" if differs else "agrees" if says else "unknown",
        truncate_at=None if starts or database is None else database.zxid,
        problems=tuple(problems),
        notes=tuple(notes),
        advice="",
    )
    return replace(report, advice=advise(report))


def find_folders(data_dir: Path, log_dir: Path | None) -> tuple[Path, Path]:
    """Return where the snapshots and the logs lie.

    Raises
    ------
    CallerError
        If there are no such folders, or files lie in the wrong one.
    """
    folder, log_folder = folder_of(data_dir), folder_of(log_dir or data_dir)
    for each in (folder, log_folder):
        if not each.is_dir():
            raise CallerError(f"{each} is no folder: name the one that has {VERSION_FOLDER} in it, as for --data-dir")
    check_folders(folder, log_folder)
    return folder, log_folder


def report_snapshot(file: DatedFile) -> FileReport:
    size_bytes = file.path.stat().st_size
    try:
        loaded = load(file.path, file.zxid)
    except Corrupt as error:
        return FileReport(file.path, FileKind.SNAPSHOT, size_bytes, State.DAMAGED, zxid_last=file.zxid, detail=str(error))
    differs = loaded.digest is not None and loaded.digest != wrap_long(loaded.tree.digest())
    return FileReport(
        file.path,
        FileKind.SNAPSHOT,
        size_bytes,
        State.WHOLE,
        zxid_last=file.zxid,
        count=len(loaded.tree.nodes),
        has_digest=loaded.digest is not None,
        detail=f"the tree's digest differs from the one in {file.path.name}" if differs else "",
    )


def report_log(file: DatedFile) -> FileReport:
    first: int | None = None
    count = longest = gap = 0
    has_digest = False
    detail = ""
    with mapped(file.path) as data:
        scan = Scan(file.path.name, data)
        start = FILE_HEAD_BYTES
        try:
            for entry in scan:
                zxid = entry.header.zxid
                if scan.zxid is not None and zxid != scan.zxid + 1 and zxid >> EPOCH_BITS == scan.zxid >> EPOCH_BITS:
                    gap += 1
                    detail = f"{file.path.name} goes on with zxid {zxid:#x} after {scan.zxid:#x}"
                first = zxid if first is None else first
                count += 1
                has_digest = has_digest or entry.digest is not None
                longest = max(longest, scan.end - start)
                start = scan.end
            state = State.DAMAGED if gap else State.EMPTY if not count else State.WHOLE
            if scan.verdict is Verdict.TORN and state is State.WHOLE:
                state = State.TORN
                detail = f"{file.path.name} ends, at byte {scan.end}, in a write that was not finished; a start cuts it off"
        except Corrupt as error:
            state, detail = State.DAMAGED, str(error)
        return FileReport(
            file.path,
            FileKind.LOG,
            len(data),
            state,
            first,
            scan.zxid,
            count,
            scan.end if state in (State.TORN, State.DAMAGED) else None,
            max(longest, scan.end - start) if count else 0,
            has_digest,
            detail,
        )


def advise(report: FolderReport) -> str:
    """Return what a person should do."""
    if report.starts and not report.problems:
        return "nothing is to be done"
    if report.starts:
        return "a keeper starts on this folder and loses nothing; move the damaged files away, or restore them from a copy"
    if report.truncate_at is None:
        return "no snapshot can be read: restore one from a copy; without any, nothing here can be recovered"
    last = max((each.zxid_last or 0 for each in report.files), default=0)
    return (
        "restore the files that are named here from a copy; without one, `muskox keeper repair --truncate-at "
        f"{report.truncate_at:#x}` goes back to the last transaction before the damage, and loses all after it, "
        f"up to zxid {max(last, report.truncate_at):#x} or later"
    )
