"""Four-letter words: what a server says of itself to whoever sends four letters instead of a connect request.

The texts are Apache's, to the byte where the facts are the same.
"""

import time
from collections.abc import Callable, Iterator
from struct import Struct

from muskox.keeper.server.metrics import monitored
from muskox.keeper.server.status import NOT_SERVING, VERSION, ConnectionStatus, Status, folder_bytes, steady_ms

ALL = "*"
ALWAYS = "srvr"  # Apache's own scripts need it
MASK = Struct(">q")  # what follows stmk
UNSIGNED = (1 << 64) - 1


def is_word(word: str) -> bool:
    return word in WORDS or word == "stmk"


def answer(word: str, rest: bytes, status: Status, asker: int) -> str:
    """Return what is said to `word`, which came from connection `asker` with `rest` behind it."""
    allowed = status.options.four_letter_words
    if ALL not in allowed and word not in allowed and word != ALWAYS:
        return f"{word} is not executed because it is not in the whitelist.\n"
    if word == "stmk":
        return set_trace_mask(status, rest)
    if not status.is_serving and word not in ("ruok", "envi", "gtmk"):
        return "null" if word == "isro" else NOT_SERVING + "\n"
    return "".join(WORDS[word](status, asker))


def ruok(_: Status, __: int) -> Iterator[str]:
    yield "imok"


def isro(_: Status, __: int) -> Iterator[str]:
    yield "rw"


def srvr(status: Status, _: int) -> Iterator[str]:
    yield f"Zookeeper version: {VERSION}\n"
    yield from serving(status)


def stat(status: Status, asker: int) -> Iterator[str]:
    yield f"Zookeeper version: {VERSION}\nClients:\n"
    for each in status.connections(asker):
        yield brief(each) + ")\n"
    yield "\n"
    yield from serving(status)


def serving(status: Status) -> Iterator[str]:
    figures = status.figures
    yield f"Latency min/avg/max: {status.latency_ms_min}/{status.latency_ms_mean}/{status.latency_ms_max}\n"
    yield f"Received: {figures.received}\nSent: {figures.sent}\nConnections: {len(figures.traffics)}\n"
    yield f"Outstanding: {status.outstanding}\nZxid: 0x{status.zxid:x}\nMode: standalone\n"
    yield f"Node count: {status.node_count}\n"


def brief(each: ConnectionStatus) -> str:
    return f" /{each.address}[{each.interest:x}](queued={each.queued},recved={each.received},sent={each.sent}"


def cons(status: Status, asker: int) -> Iterator[str]:
    for each in status.connections(asker):
        yield brief(each)
        if each.session_id:
            yield f",sid={unsigned(each.session_id)},lop={each.operation},est={each.established_ms},to={each.timeout_ms}"
            if each.cxid >= 0:
                yield f",lcxid=0x{each.cxid:x}"
            yield f",lzxid={unsigned(each.zxid)},lresp={each.answered_ms},llat={each.latency_ms}"
            yield f",minlat={each.latency_ms_min},avglat={each.latency_ms_mean},maxlat={each.latency_ms_max}"
        yield ")\n"
    yield "\n"


def conf(status: Status, _: int) -> Iterator[str]:
    options = status.options
    yield f"clientPort={status.client_port}\nsecureClientPort={status.secure_port}\n"
    # Apache, too, has the two sizes crossed.
    yield f"dataDir={status.data_folder}\ndataDirSize={folder_bytes(status.log_folder)}\n"
    yield f"dataLogDir={status.log_folder}\ndataLogSize={folder_bytes(status.data_folder)}\n"
    yield f"tickTime={options.tick_ms}\nmaxClientCnxns={options.limits.connections_per_address_max}\n"
    yield f"minSessionTimeout={options.timeout_ms_min}\nmaxSessionTimeout={options.timeout_ms_max}\n"
    yield "clientPortListenBacklog=-1\nserverId=0\n"


def dirs(status: Status, _: int) -> Iterator[str]:
    yield f"datadir_size: {folder_bytes(status.log_folder)}\nlogdir_size: {folder_bytes(status.data_folder)}\n"


def dump(status: Status, _: int) -> Iterator[str]:
    sessions = status.sessions_due()
    yield f"SessionTracker dump:\nSession Sets ({len(sessions)})/({sum(map(len, sessions.values()))}):\n"
    for due, numbers in sessions.items():
        yield f"{len(numbers)} expire at {date_of(due)}:\n"
        yield from (f"\t{unsigned(number)}\n" for number in numbers)
    ephemerals = status.ephemerals()
    yield f"ephemeral nodes dump:\nSessions with Ephemerals ({len(ephemerals)}):\n"
    for session, paths in ephemerals.items():
        yield f"{unsigned(session)}:\n"
        yield from (f"\t{path}\n" for path in paths)
    connections = status.connections_due()
    yield f"Connections dump:\nConnections Sets ({len(connections)})/({sum(map(len, connections.values()))}):\n"
    for due, members in connections.items():
        yield f"{len(members)} expire at {date_of(due)}:\n"
        yield from (f"\tip: /{address} sessionId: {unsigned(session)}\n" for address, session in members)


def wchs(status: Status, _: int) -> Iterator[str]:
    connections, paths, total = status.watch_summary()
    yield f"{connections} connections watching {paths} paths\nTotal watches:{total}\n"


def wchc(status: Status, _: int) -> Iterator[str]:
    for session, paths in status.watches_by_session().items():
        yield unsigned(session) + "\n"
        yield from (f"\t{path}\n" for path in paths)
    yield "\n"


def wchp(status: Status, _: int) -> Iterator[str]:
    for path, sessions in status.watches_by_path().items():
        yield path + "\n"
        yield from (f"\t{unsigned(session)}\n" for session in sessions)
    yield "\n"


def mntr(status: Status, _: int) -> Iterator[str]:
    yield from (f"zk_{name}\t{value}\n" for name, value in monitored(status).items())


def envi(status: Status, _: int) -> Iterator[str]:
    yield "Environment:\n"
    yield from (f"{name}={value}\n" for name, value in status.environment().items())


def hash_log(status: Status, _: int) -> Iterator[str]:
    yield from (f"{zxid:x}: {digest}\n" for zxid, digest in status.figures.digests if zxid <= status.zxid)


def crst(status: Status, _: int) -> Iterator[str]:
    status.reset_connections()
    yield "Connection stats reset.\n"


def srst(status: Status, _: int) -> Iterator[str]:
    status.reset()
    yield "Server stats reset.\n"


def gtmk(status: Status, _: int) -> Iterator[str]:
    yield str(status.figures.trace_mask)


def set_trace_mask(status: Status, rest: bytes) -> str:
    if len(rest) < MASK.size:
        return ""
    status.figures.trace_mask = MASK.unpack_from(rest)[0]
    return str(status.figures.trace_mask)


def unsigned(number: int) -> str:
    """Return a Java long as Java writes it in hexadecimal."""
    return f"0x{number & UNSIGNED:x}"


def date_of(due_ms: int) -> str:
    """Return a time of the steady clock as Java writes a Date."""
    return time.strftime("%a %b %d %H:%M:%S %Z %Y", time.localtime(time.time() + (due_ms - steady_ms()) / 1000))


WORDS: dict[str, Callable[[Status, int], Iterator[str]]] = {
    "ruok": ruok,
    "isro": isro,
    "srvr": srvr,
    "stat": stat,
    "cons": cons,
    "conf": conf,
    "dirs": dirs,
    "dump": dump,
    "wchs": wchs,
    "wchc": wchc,
    "wchp": wchp,
    "mntr": mntr,
    "envi": envi,
    "hash": hash_log,
    "crst": crst,
    "srst": srst,
    "gtmk": gtmk,
}
