"""The commands of the shell that change something: create, set, rm, acl, auth; and quotas, which are znodes too."""

import contextlib
import posixpath
import sys
from getpass import getpass
from pathlib import Path
from typing import Any

from kazoo.exceptions import BadVersionError, KazooException, NodeExistsError, NoNodeError, NotEmptyError
from kazoo.security import OPEN_ACL_UNSAFE

from muskox.cli import zk_text
from muskox.cli.zk_client import CreateNode, ask
from muskox.cli.zk_command import AHEAD_MAX, PATH, Answer, Command, Place, explain, word
from muskox.errors import CallerError

EPHEMERAL, SEQUENCE = 1, 2
CONTAINER_FLAG, TTL_FLAG = 4, 5  # of a container, of a time to live; 6 is the latter with a sequence
TTL_MS_MAX = (1 << 40) - 1
EVERY_VERSION = -1


def data_of(given: Any) -> bytes:
    """Return the data that DATA or -f gives."""
    if given.file is None:
        return (given.data or "").encode("utf-8", "surrogateescape")
    if given.data is not None:
        raise CallerError("give DATA or -f FILE, not both")
    if given.file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(given.file).read_bytes()
    except OSError as error:
        raise CallerError(f"cannot read {given.file}: {error.strerror}") from error


def create(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    if given.sequence and given.path.endswith("/") and path != "/":
        path += "/"  # its name will be the number alone
    if given.container and (given.ephemeral or given.sequence or given.ttl is not None):
        raise CallerError("a container is neither ephemeral nor sequential, and has no time to live")
    if given.ephemeral and given.ttl is not None:
        raise CallerError("an ephemeral ends with its session, so it has no time to live")
    if given.ttl is not None and not 0 < given.ttl <= TTL_MS_MAX:
        raise CallerError(f"a time to live is from 1 to {TTL_MS_MAX} ms")
    data = data_of(given)
    acl = OPEN_ACL_UNSAFE if given.acl is None else zk_text.parse_acl(given.acl)
    flags, type_ = EPHEMERAL * given.ephemeral + SEQUENCE * given.sequence, CreateNode.CREATE2
    if given.container:
        flags, type_ = CONTAINER_FLAG, CreateNode.CONTAINER
    if given.ttl is not None:
        flags, type_ = TTL_FLAG + given.sequence, CreateNode.TTL
    full = place.chroot + path if path != "/" else place.full(path)
    request = CreateNode(type_, full, data, acl, flags, given.ttl)
    try:
        made, _ = ask(place.client, request)
    except NoNodeError as error:
        parent = posixpath.dirname(path.rstrip("/"))
        if not given.parents:
            if place.chroot and place.client.exists(place.chroot) is None:
                raise
            raise CallerError(f"there is no znode {parent} to create it in: -p makes what is missing") from error
        place.client.ensure_path(posixpath.dirname(full.rstrip("/") if not full.endswith("/") else full))
        made, _ = ask(place.client, request)
    made = place.local(made)
    return Answer({"path": made}, [made])


def set_(place: Place, given: Any) -> Answer:
    path, data = place.resolve(given.path), data_of(given)
    try:
        stat = place.client.set(place.full(path), data, given.version)
    except BadVersionError as error:
        raise other_version(place, path, given.version, "version") from error
    return Answer({"path": path, "version": stat.version}, [f"{path} is at version {stat.version}"])


def other_version(place: Place, path: str, wanted: int, what: str) -> CallerError:
    stat = place.client.exists(place.full(path))
    now = "gone" if stat is None else f"at {what} {getattr(stat, what)}"
    return CallerError(f"{path} is {now}, not at {what} {wanted}")


def rm(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    if path == "/":
        raise CallerError("the root stays: name what is to go")
    if not given.recursive:
        try:
            place.client.delete(place.full(path), given.version)
        except BadVersionError as error:
            raise other_version(place, path, given.version, "version") from error
        return Answer({"path": path, "deleted": 1})
    if given.version != EVERY_VERSION:
        raise CallerError("-v and -r do not go together")
    count = 0
    doomed = list(place.walk(path))[::-1]  # children before their parents; a session's requests are done in their order
    for start in range(0, len(doomed), AHEAD_MAX):
        some = doomed[start : start + AHEAD_MAX]
        for each, answer in [(each, place.client.delete_async(place.full(each))) for each in some]:
            try:
                answer.get()
                count += 1
            except NoNodeError:
                continue  # somebody else was first
            except NotEmptyError as error:
                raise CallerError(f"somebody made a child of {each} meanwhile: do it again") from error
    return Answer({"path": path, "deleted": count}, [f"{count:,} znode{'s' if count != 1 else ''} deleted"])


def acl(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    if given.action == "get":
        if given.acl is not None:
            raise CallerError("`acl get` takes a path alone; `acl set` changes it")
        entries, stat = place.client.get_acls(place.full(path))
        texts = [zk_text.acl_text(entry) for entry in entries]
        return Answer({"path": path, "acl": texts, "version": stat.aversion}, texts)
    if given.acl is None:
        raise CallerError("`acl set` takes a path and an ACL: acl set /a world:anyone:r,auth::cdrwa")
    entries = zk_text.parse_acl(given.acl)
    paths = list(place.walk(path)) if given.recursive else [path]
    for count, each in enumerate(paths):
        try:
            place.client.set_acls(place.full(each), entries, given.version)
        except BadVersionError as error:
            raise other_version(place, each, given.version, "aversion") from error
        except NoNodeError:
            if each == path:
                raise
        except KazooException as error:
            if each != path:
                raise CallerError(f"{explain(error, place, each)}; {count:,} above it are changed") from error
            raise
    return Answer({"path": path, "changed": len(paths)}, [f"{len(paths):,} changed"] if given.recursive else [])


def auth(place: Place, given: Any) -> Answer:
    credential = given.credential
    if credential is None:
        credential = getpass("credential (user:password): ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if given.scheme == "digest" and ":" not in credential:
        raise CallerError("a credential of digest is user:password")
    place.client.add_auth(given.scheme, credential)
    return Answer({"scheme": given.scheme})


# -- quotas: /zookeeper/quota/<path>/zookeeper_limits says how much may be, zookeeper_stats how much is ---------------------

QUOTA, LIMITS, STATS = "/zookeeper/quota", "zookeeper_limits", "zookeeper_stats"
FIELDS = ("count", "bytes", "byteHardLimit", "countHardLimit")  # in the order that Apache writes them
TITLES = {"count": "znodes, soft", "bytes": "bytes, soft", "countHardLimit": "znodes, hard", "byteHardLimit": "bytes, hard"}


def parse_track(data: bytes | None) -> dict[str, int]:
    """Return the numbers in "count=5,bytes=10=;byteHardLimit=20"; -1, for none, is left out."""
    numbers: dict[str, int] = {}
    for part in (data or b"").decode("utf-8", "replace").replace(";", ",").split(","):
        name, _, value = part.partition("=")
        with contextlib.suppress(ValueError):
            numbers[name] = int(value.rstrip("="))
    return {name: number for name, number in numbers.items() if number >= 0}


def format_track(numbers: dict[str, int]) -> bytes:
    """Return what :func:`parse_track` reads, as Apache's shell writes it."""
    count, bytes_, *hard = (numbers.get(name, -1) for name in FIELDS)
    return f"count={count},bytes={bytes_}=;byteHardLimit={hard[0]};countHardLimit={hard[1]}".encode()


def quota(place: Place, given: Any) -> Answer:
    path = place.resolve(given.path)
    full = place.full(path)
    at = (QUOTA + full).rstrip("/")
    limits = {"count": given.count, "bytes": given.bytes, "countHardLimit": given.hard_count, "byteHardLimit": given.hard_bytes}
    limits = {name: number for name, number in limits.items() if number is not None}
    if given.action != "set" and limits:
        raise CallerError(f"`quota {given.action}` takes a path alone; `quota set` sets limits")
    if given.action == "set":
        return set_quota(place, path, limits)
    try:
        if given.action == "rm":
            place.client.delete(f"{at}/{LIMITS}")
            place.client.delete(f"{at}/{STATS}")
            return Answer({"path": path})
        allowed = parse_track(place.client.get(f"{at}/{LIMITS}")[0])
        used = parse_track(place.client.get(f"{at}/{STATS}")[0])
    except NoNodeError as error:
        raise CallerError(f"{path} has no quota") from error
    lines = [f"{title}: at most {allowed[name]:,}" for name, title in TITLES.items() if name in allowed]
    lines.append(f"in use, znodes: {used.get('count', 0):,}, bytes: {used.get('bytes', 0):,}")
    return Answer({"path": path, "limits": allowed, "used": used}, lines)


def set_quota(place: Place, path: str, limits: dict[str, int]) -> Answer:
    """Set some limits of `path`, as Apache's shell does: not above or below another quota."""
    full = place.full(path)
    if not limits:
        raise CallerError("say which limit: -n ZNODES or -b BYTES to be told of, -N ZNODES or -B BYTES to be refused at")
    if min(limits.values()) < 0:
        raise CallerError("a limit is a number from 0")
    if full == "/" or (full + "/").startswith("/zookeeper/"):
        raise CallerError(f"{full} takes no quota")
    if place.client.exists(full) is None:
        raise NoNodeError
    refuse_nested(place, full)
    at = QUOTA + full
    place.client.ensure_path(at)
    try:
        data, _ = place.client.get(f"{at}/{LIMITS}")
        limits = parse_track(data) | limits
        place.client.set(f"{at}/{LIMITS}", format_track(limits))
    except NoNodeError:
        place.client.create(f"{at}/{LIMITS}", format_track(limits))
        with contextlib.suppress(NodeExistsError):
            place.client.create(f"{at}/{STATS}", b"count=0,bytes=0")
    return Answer({"path": path, "limits": limits})


def refuse_nested(place: Place, full: str) -> None:
    whole = Place(place.client, place.name)
    parent = posixpath.dirname(full)
    while parent != "/":
        if place.client.exists(f"{QUOTA}{parent}/{LIMITS}") is not None:
            raise CallerError(f"{parent} above has a quota already, and quotas do not nest")
        parent = posixpath.dirname(parent)
    with contextlib.suppress(NoNodeError):
        for each in whole.walk(QUOTA + full):
            owner = posixpath.dirname(each)
            if each.endswith(f"/{LIMITS}") and owner != QUOTA + full:
                raise CallerError(f"{owner.removeprefix(QUOTA)} below has a quota already, and quotas do not nest")


DATA = word("data", metavar="DATA", nargs="?")
FILE = word("-f", "--file", metavar="FILE", help="data from a file; - is standard input")
VERSION = word("-v", "--version", metavar="N", type=int, default=EVERY_VERSION, help="only if it is at this version")

WRITING = (
    Command(
        "create",
        create,
        "make a znode",
        (
            PATH,
            DATA,
            word("-e", "--ephemeral", action="store_true", help="ends with this session"),
            word("-s", "--sequence", action="store_true", help="a number of ten digits ends its name"),
            word("-c", "--container", action="store_true", help="goes when its last child has gone"),
            word("-t", "--ttl", metavar="MS", type=int, help="goes when unchanged so long, without children"),
            word("-p", "--parents", action="store_true", help="and the parents that are missing"),
            word("-a", "--acl", metavar="ACL", help="as in `help acl`; all may do all without it"),
            FILE,
        ),
        ('create /a "some text"', "create -e -s /queue/item-", "create -p /a/b/c", "create /secret x -a auth::cdrwa"),
    ),
    Command(
        "set",
        set_,
        "change the data of a znode",
        (PATH, DATA, VERSION, FILE),
        ("set /a text", "set -v 3 /a text", "set /a -f a.bin"),
    ),
    Command(
        "rm",
        rm,
        "delete a znode",
        (PATH, word("-r", "--recursive", action="store_true", help="and everything below"), VERSION),
        ("rm /a", "rm -r /a", "rm -v 3 /a"),
    ),
    Command(
        "acl",
        acl,
        "show or change who may do what: entries scheme:id:cdrwa (create, delete, read, write, admin)",
        (
            word("action", choices=("get", "set"), metavar="get|set"),
            PATH,
            word("acl", metavar="ACL", nargs="?"),
            word("-R", "--recursive", action="store_true", help="of everything below too"),
            VERSION,
        ),
        ("acl get /a", "acl set /a world:anyone:r,auth::cdrwa", "acl set -R /a world:anyone:cdrwa"),
    ),
    Command(
        "auth",
        auth,
        "show the server who you are; a credential left out is asked for",
        (word("scheme", metavar="SCHEME"), word("credential", metavar="CREDENTIAL", nargs="?")),
        ("auth digest", "auth digest anna:secret"),
    ),
    Command(
        "quota",
        quota,
        "show, set or remove the limits of a subtree",
        (
            word("action", choices=("get", "set", "rm"), metavar="get|set|rm"),
            PATH,
            word("-n", "--count", metavar="ZNODES", type=int, help="be told of more, in the server's log"),
            word("-b", "--bytes", metavar="BYTES", type=int, help="be told of more bytes of data"),
            word("-N", "--hard-count", metavar="ZNODES", type=int, help="refuse more, if enforceQuota is on"),
            word("-B", "--hard-bytes", metavar="BYTES", type=int, help="refuse more bytes of data"),
        ),
        ("quota get /a", "quota set -n 1000 -B 1000000 /a", "quota rm /a"),
    ),
)
