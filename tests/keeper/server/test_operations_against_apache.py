"""What operators ask, asked of both servers: the same words, keys and layout, with only times, sizes and names masked."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from apache import REASON, Apache, four_letters, free_ports, is_installed
from raw import OPEN, RawClient

from muskox.keeper import Keeper
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, PathWatch, SetDataRequest

pytestmark = pytest.mark.skipif(not is_installed(), reason=REASON)

SECONDS_MAX = 20.0


class Place(NamedTuple):
    """A server with two clients, and where it is asked."""

    port: int
    admin_port: int
    clients: tuple[RawClient, RawClient]

    def word(self, word: str) -> str:
        return four_letters(self.port, word, SECONDS_MAX)

    def http(self, path: str) -> tuple[int, str, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=SECONDS_MAX) as answer:
                return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, "", ""

    def command(self, name: str) -> Any:
        status, kind, body = self.http(f"/commands/{name}")
        assert (status, kind.partition(";")[0]) == (200, "application/json")
        return json.loads(body)

    def mask(self, text: str) -> str:
        """Take out what must differ: sessions, ports, times and sizes."""
        for index, client in enumerate(self.clients):
            local = client.sock.getsockname()[1]
            text = text.replace(f"{client.session_id:x}", f"SESSION{index}").replace(str(client.session_id), f"SESSION{index}")
            text = text.replace(f":{local}", f":PORT{index}")
        text = text.replace(str(self.port), "PORT").replace(str(self.admin_port), "ADMIN")
        text = re.sub(r"\d\.\d\.\d[-\w${.}]*, built on .*", "VERSION", text)
        text = re.sub(r"(?<=expire at ).*", "DATE:", text)
        text = re.sub(r"(Dir|dataDir|dataLogDir)=/.*", r"\1=FOLDER", text)
        # Apache takes a request off its queue only after its reply has left.
        numbers = r"((?:est|lresp|llat|minlat|avglat|maxlat|queued|DirSize|LogSize|dir_size)(?:=|: )|/127.0.0.1:)\d+"
        return re.sub(numbers, r"\1N", text)


def live(stack: ExitStack, port: int, admin_port: int) -> Place:
    """Open two clients at a server and let them do the same things everywhere."""
    first, second = (stack.enter_context(RawClient(port)) for _ in range(2))
    for client in (first, second):
        client.connect()
    for path, flags in (("/a", 0), ("/e", 1), ("/e2", 1)):
        first.ask(OpCode.CREATE, CreateRequest(path, b"xyz", OPEN, flags))
    first.ask(OpCode.EXISTS, PathWatch("/a", True))
    first.ask(OpCode.EXISTS, PathWatch("/none", True))
    first.ask(OpCode.GET_CHILDREN, PathWatch("/", True))
    second.ask(OpCode.CREATE, CreateRequest("/f", b"", OPEN, 1))
    first.receive()  # the watch on the children of /
    for _ in range(140):  # past the first digest that is kept
        second.ask(OpCode.SET_DATA, SetDataRequest("/f", b"12345", -1))
    second.ask(OpCode.GET_DATA, PathWatch("/a", True))
    second.ask(OpCode.GET_DATA, PathWatch("/f", True))
    second.ask(OpCode.SET_DATA, SetDataRequest("/f", b"", -1))  # its watch fires
    return Place(port, admin_port, (first, second))


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Place, Place]]:
    """Ours and Apache's, after the same requests."""
    ours, theirs = free_ports(2)
    properties = {
        "zookeeper.admin.enableServer": "true",
        "zookeeper.admin.serverAddress": "127.0.0.1",
        "zookeeper.admin.serverPort": str(theirs),
    }
    with ExitStack() as stack:
        keeper = stack.enter_context(Keeper(four_letter_words="all", admin_port=ours))
        apache = stack.enter_context(Apache(properties=properties))
        yield live(stack, keeper.port, ours), live(stack, apache.port, theirs)


def lines(text: str, is_sorted: bool) -> list[str]:
    return sorted(text.splitlines(keepends=True)) if is_sorted else text.splitlines(keepends=True)


@pytest.mark.parametrize(
    ("word", "is_sorted"),
    [
        ("ruok", False),
        ("isro", False),
        ("gtmk", False),
        ("stmk", False),
        ("conf", False),
        ("dirs", False),
        ("wchs", False),
        ("wchc", True),  # Apache lists them in the order of a hash
        ("wchp", True),
        ("nope", False),
    ],
)
def test_a_word_is_answered_to_the_byte(places: tuple[Place, Place], word: str, is_sorted: bool) -> None:
    ours, theirs = (lines(place.mask(place.word(word)), is_sorted) for place in places)
    assert ours == theirs


def counted(place: Place, word: str) -> list[str]:
    """Return the lines of an answer that counts requests, after both kinds of counts were begun anew."""
    assert place.word("crst") == "Connection stats reset.\n"
    assert place.word("srst") == "Server stats reset.\n"
    for client in place.clients:
        client.ask(OpCode.EXISTS, PathWatch("/a", False))
        client.ask(OpCode.CREATE, CreateRequest(f"/{word}-", b"", OPEN, 2))  # Apache forgets the operation if it fails
    return sorted(place.mask(place.word(word)).splitlines(keepends=True))


@pytest.mark.parametrize("word", ["srvr", "stat", "cons"])
def test_requests_are_counted_alike(places: tuple[Place, Place], word: str) -> None:
    def neutral(text: str) -> str:
        text = re.sub(r"min/avg/max: \d+/\d+\.\d+/\d+", "min/avg/max: N", text)
        return re.sub(r"(zxid=0x|Zxid: 0x|lcxid=0x)[0-9a-f]+", r"\1N", text)

    ours, theirs = (neutral("".join(counted(place, word))) for place in places)
    assert ours == theirs
    assert "lop=CREA" in ours if word == "cons" else "Received: " in ours


def test_a_dump_names_the_same_sessions_znodes_and_connections(places: tuple[Place, Place]) -> None:
    def neutral(place: Place) -> set[str]:
        text = re.sub(r"Sets \(\d+\)", "Sets (N)", place.mask(place.word("dump")))
        return {re.sub(r"^\d+ expire", "N expire", line) for line in text.splitlines()}

    ours, theirs = map(neutral, places)
    assert ours == theirs
    assert {"0xSESSION0:", "\t/e", "\t/e2"} <= ours


def test_the_same_digests_are_kept(places: tuple[Place, Place]) -> None:
    # Both count the same transactions, but digests hold times: only the layout can be the same.
    ours, theirs = (place.word("hash") for place in places)
    assert re.fullmatch(r"(80: -?\d+\n)", ours)
    assert re.fullmatch(r"(80: -?\d+\n)", theirs)
    ours_told, theirs_told = (place.command("hash")["digests"] for place in places)
    assert [each.keys() for each in ours_told] == [each.keys() for each in theirs_told]
    assert [each["zxid"] for each in ours_told] == [128]


def test_the_environment_has_apaches_names_but_for_javas(places: tuple[Place, Place]) -> None:
    ours, theirs = (dict(line.split("=", 1) for line in place.word("envi").splitlines()[1:]) for place in places)
    assert {name for name in theirs if not name.startswith(("java.", "os.memory."))} <= ours.keys()
    for name in ("os.name", "os.version", "user.name", "user.home"):
        assert ours[name] == theirs[name]


def test_what_is_monitored_is_a_part_of_what_apache_monitors(places: tuple[Place, Place]) -> None:
    ours, theirs = (dict(line.split("\t") for line in place.word("mntr").splitlines()) for place in places)
    assert ours.keys() <= theirs.keys()
    same = ("server_state", "znode_count", "watch_count", "ephemerals_count", "approximate_data_size", "global_sessions")
    for name in (*same, "local_sessions", "outstanding_requests"):
        assert ours[f"zk_{name}"] == theirs[f"zk_{name}"], name
    for name in ours:
        assert re.fullmatch(r"-?\d+", ours[name]) if re.fullmatch(r"-?\d+", theirs[name]) else True, name


COMMANDS = (
    *("configuration", "conf", "connections", "connection_stat_reset", "crst", "dirs", "dump", "get_trace_mask", "hash"),
    *("isro", "initial_configuration", "is_read_only", "last_snapshot", "leader", "lead", "observers"),
    *("observer_connection_stat_reset", "ruok/x"),
    *("ruok", "server_stats", "srvr", "set_trace_mask", "set_trace_mask?traceMask=7", "set_trace_mask?traceMask=x"),
    *("get_trace_mask", "stats", "stat", "stat_reset", "voting_view", "watch_summary", "wchs", "watches", "wchc"),
    *("watches_by_path", "wchp", "zabstate", "nope"),
)


def shape(value: Any) -> Any:
    """Return the keys, in their order, and the kinds of values."""
    if isinstance(value, dict):
        return {("N" if re.fullmatch(r"-?\d+", key) else key): shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value[:1]]
    return type(value).__name__


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_apaches_keys_in_their_order(places: tuple[Place, Place], name: str) -> None:
    ours, theirs = (place.command(name) for place in places)
    assert list(ours) == list(theirs)
    assert shape(ours) == shape(theirs)
    assert (ours["command"], ours["error"]) == (theirs["command"], theirs["error"])


@pytest.mark.parametrize(
    "path",
    [
        "/commands",
        "/commands/",
        "/commands/ruok",
        "/commands/nope",
        "/commands/leader",
        "/commands/voting_view",
        "/commands/observers",
    ],
)
def test_what_holds_no_facts_is_the_same_to_the_byte(places: tuple[Place, Place], path: str) -> None:
    ours, theirs = (place.http(path) for place in places)
    assert (ours[0], ours[2]) == (theirs[0], theirs[2])


def test_the_layout_of_nested_json_is_the_same_to_the_byte(places: tuple[Place, Place]) -> None:
    def neutral(place: Place, path: str) -> str:
        return re.sub(r"-?\d+(\.\d+)?", "N", re.sub(r"VERSION|FOLDER|/tmp[^\"]*", "TEXT", place.mask(place.http(path)[2])))

    for path in ("/commands/connections", "/commands/configuration", "/commands/watch_summary", "/commands/is_read_only"):
        ours, theirs = (neutral(place, path) for place in places)
        assert ours == theirs


def test_other_paths_and_methods_fail_alike(places: tuple[Place, Place]) -> None:
    for path in ("/", "/other", "/commandsx"):
        assert places[0].http(path)[0] == places[1].http(path)[0] == 404
    for place in places:
        request = urllib.request.Request(f"http://127.0.0.1:{place.admin_port}/commands/ruok", method="POST", data=b"x")
        with pytest.raises(urllib.error.HTTPError, match="405") as refusal:
            urllib.request.urlopen(request, timeout=SECONDS_MAX)
        refusal.value.close()


def test_dumps_and_watches_name_the_same_things(places: tuple[Place, Place]) -> None:
    def neutral(place: Place) -> Any:
        def named(session: object) -> str:
            return place.mask(str(session))

        watches = place.command("watches")["session_id_to_watched_paths"]
        ephemerals = place.command("dump")["session_id_to_ephemeral_paths"]
        by_path = place.command("watches_by_path")["path_to_session_ids"]
        return (
            {named(session): sorted(paths) for session, paths in watches.items()},
            {named(session): sorted(paths) for session, paths in ephemerals.items()},
            {path: sorted(map(named, sessions)) for path, sessions in by_path.items()},
        )

    ours, theirs = map(neutral, places)
    assert ours == theirs
    assert ours[1] == {"SESSION0": ["/e", "/e2"], "SESSION1": ["/f"]}
