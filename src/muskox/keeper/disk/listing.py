"""What is in a keeper's files, for a person or a script to read: transactions of a log, znodes of a snapshot or of a folder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from muskox.errors import CallerError, PeerError
from muskox.keeper.disk.entries import Scan
from muskox.keeper.disk.inspect import find_folders
from muskox.keeper.disk.loading import load, mapped
from muskox.keeper.disk.names import LOG, SNAPSHOT, find_dated, list_files
from muskox.keeper.disk.recovery import begin, check_reached, no_garbage_collection, relevant_logs, replay
from muskox.keeper.machine.node import CONTAINER_OWNER, Node
from muskox.keeper.machine.tree import Tree
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import AclList
from muskox.keeper.wire.transactions import Entry, MultiTxn, SubTxn, Txn, codec_of

# Transactions as Apache's tools name them.
KINDS: dict[int, str] = {
    OpCode.ERROR: "error",
    OpCode.CREATE_SESSION: "createSession",
    OpCode.CLOSE_SESSION: "closeSession",
    OpCode.CREATE: "create",
    OpCode.CREATE2: "create2",
    OpCode.CREATE_CONTAINER: "createContainer",
    OpCode.CREATE_TTL: "createTTL",
    OpCode.DELETE: "delete",
    OpCode.DELETE_CONTAINER: "deleteContainer",
    OpCode.SET_DATA: "setData",
    OpCode.CHECK: "check",
    OpCode.SET_ACL: "setACL",
    OpCode.MULTI: "multi",
    OpCode.RECONFIG: "reconfig",
}


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
    if path.is_dir():
        folder, log_folder = find_folders(path, log_dir)
        snapshots, logs = list_files(folder, SNAPSHOT), list_files(log_folder, LOG)
        with no_garbage_collection():
            database = begin(snapshots, logs, [])
            for log in relevant_logs(logs, database.zxid):
                replay(log, False, database, [])
        check_reached(snapshots, database.zxid)
        yield from tree_lines(database.tree, database.timeouts_ms)
        return
    file = find_dated(path)
    if file is None:
        raise CallerError(f"{path} is no file of a keeper: its name is not log.ZXID or snapshot.ZXID")
    if path.name.startswith(SNAPSHOT):
        loaded = load(path, file.zxid)
        yield from tree_lines(loaded.tree, loaded.timeouts_ms)
        return
    with mapped(path) as data:
        scan = Scan(path.name, data)
        for entry in scan:
            yield transaction_line(entry, scan.end, len(scan.body))


def tree_lines(tree: Tree, timeouts_ms: dict[int, int]) -> Iterator[SessionLine | NodeLine]:
    owned: dict[int, int] = {}
    for node in tree.nodes.values():
        owned[node.owner] = owned.get(node.owner, 0) + 1
    for session_id in sorted({*timeouts_ms, *owned} - {0}):
        yield SessionLine(session_id, timeouts_ms.get(session_id, 0), owned.get(session_id, 0))
    for path in sorted(tree.nodes):
        yield node_line(path, tree.nodes[path])


def node_line(path: str, node: Node) -> NodeLine:
    stat = node.stat
    kind = "persistent"
    if node.mark:
        kind = "container" if node.mark == CONTAINER_OWNER else f"ttl {node.ttl_ms} ms"
    elif node.owner:
        kind = "ephemeral"
    return NodeLine(
        path,
        node.data,
        acl_words(node.acl),
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.ctime,
        stat.mtime,
        stat.version,
        stat.cversion,
        stat.aversion,
        node.owner,
        kind,
        node.child_count,
    )


def acl_words(acl: AclList | None) -> tuple[str, ...]:
    """Return ACL entries as `zkCli` writes them, as in "world:anyone:cdrwa"."""
    letters = ((4, "c"), (8, "d"), (1, "r"), (2, "w"), (16, "a"))
    return tuple(
        f"{entry.id.scheme}:{entry.id.id}:{''.join(letter for bit, letter in letters if entry.perms & bit)}"
        for entry in acl or ()
    )


def transaction_line(entry: Entry, at: int, size_bytes: int) -> TransactionLine:
    header, txn, digest, _ = entry
    parts: tuple[str, ...] = ()
    if isinstance(txn, MultiTxn):
        parts = tuple(part_words(part) for part in txn.parts or ())
    path, detail = words_of(txn)
    kind = KINDS.get(header.type, str(header.type))
    value = None if digest is None else digest.tree_digest
    return TransactionLine(
        at, header.zxid, header.time_ms, header.session_id, header.cxid, kind, path, detail, size_bytes, value, parts
    )


def part_words(part: SubTxn) -> str:
    """Return a part of a multi in words; one that cannot be read says so."""
    try:
        path, detail = words_of(codec_of(part.type).decode(part.data or b""))
    except PeerError as error:
        return str(error)
    return " ".join(word for word in (KINDS.get(part.type, str(part.type)), path, detail) if word)


def words_of(txn: Txn) -> tuple[str, str]:
    """Return the path of a transaction, and its other fields in words."""
    fields = txn._asdict()
    path = str(fields.pop("path", ""))
    fields.pop("parts", None)
    if "acl" in fields:
        fields["acl"] = ",".join(acl_words(fields["acl"]))
    return path, " ".join(f"{name}={value}" for name, value in fields.items())
