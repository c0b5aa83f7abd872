"""What a keeper's folder holds, told to a person who must decide: every file, what is whole, and up to where it can go on.

It reads only, so it may be asked about a folder in use; the last log may then end in a write that is just being made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


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
    entry_bytes_max : the longest entry of a log; Apache needs jute.maxbuffer of at least half of it
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
    digest : what was found of the tree's digest: "agrees", "differs from zxid 0x..", or "unknown"
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
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    advice: str

    @property
    def is_whole(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class TransactionLine:
    """One transaction of a log. `kind` is its name ("setData"), `detail` its other fields in words, `parts` a multi's."""

    at: int
    zxid: int
    time_ms: int
    session_id: int
    cxid: int
    kind: str
    path: str
    detail: str
    size_bytes: int
    digest: int | None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionLine:
    session_id: int
    timeout_ms: int
    ephemerals: int


@dataclass(frozen=True, slots=True)
class NodeLine:
    """One znode of a snapshot or tree."""

    path: str
    data: bytes | None
    acl: tuple[str, ...]
    czxid: int
    mzxid: int
    pzxid: int
    ctime_ms: int
    mtime_ms: int
    version: int
    cversion: int
    aversion: int
    owner: int
    kind: str
    children: int


Line = TransactionLine | SessionLine | NodeLine


def check(data_dir: Path, log_dir: Path | None = None) -> FolderReport:
    """Return how the files in `data_dir`, and the logs in `log_dir` if they lie elsewhere, are; nothing is changed.

    Raises
    ------
    CallerError
        If there is no keeper's or ZooKeeper's folder.
    OSError
        If the disk refuses.
    """
    raise NotImplementedError


def dump(path: Path, log_dir: Path | None = None) -> Iterator[Line]:
    """Yield what a log, a snapshot or a whole folder holds, for people: transactions, or sessions and then znodes by path.

    Raises
    ------
    CallerError
        If `path` is none of these.
    Corrupt
        If a file is damaged, after what lies before the damage has been yielded.
    OSError
        If the disk refuses.
    """
    raise NotImplementedError
