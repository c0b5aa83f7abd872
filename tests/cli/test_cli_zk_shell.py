"""``muskox zk`` against our keeper and Apache ZooKeeper: single commands, scripts, and conversations at a terminal."""

import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import apache
import pytest
from command_line import Muskox
from kazoo.client import KazooClient
from keeper import certificates

from muskox.cli import zk_client, zk_text
from muskox.cli.zk_writing import format_track, parse_track
from muskox.coordination import Session, make_secret, read_secret
from muskox.errors import CallerError
from muskox.keeper import Keeper

SECONDS_MAX = 60


@pytest.fixture(scope="module", params=["keeper", "apache"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Give the address of a server, which has what the tests made before."""
    if request.param == "keeper":
        with Keeper(extended_types=True) as keeper:
            yield keeper.hosts
        return
    if not apache.is_installed():
        pytest.skip(apache.REASON)
    other = apache.Apache(properties={"zookeeper.extendedTypesEnabled": "true"}).start()
    yield other.hosts
    other.stop()


@pytest.fixture
def here(tmp_path: Path) -> Muskox:
    return Muskox(tmp_path)


def said_by_script(here: Muskox, address: str, script: str, *words: str, code: int = 0) -> tuple[str, str]:
    with mock.patch.object(sys, "stdin", io.StringIO(script)):
        return here.run("zk", *words, address, code=code)


# What follows a > is typed, what follows that is answered. On every server the same.
STORY = r"""
> create -p /story/a/b "some text"
/story/a/b
> create -s /story/n- 1
/story/n-0000000001
> create -s /story/ 1
/story/0000000002
> create -c /story/container
/story/container
> create -t 60000 /story/mortal
/story/mortal
> create -e /story/me
/story/me
> ephemerals /story
/story/me
> get /story/a/b
some text
> set -v 0 /story/a/b -- -5
/story/a/b is at version 1
> get /story/a/b
-5
> ls /story
0000000002
a
container
me
mortal
n-0000000001
> ls -R /story/a
/story/a
/story/a/b
> tree /story
/story
├── 0000000002
├── a
│   └── b
├── container
├── me
├── mortal
└── n-0000000001
8 znodes
> cd /story
> cd a
> ls
b
> get ../n-0000000001
1
> cd
> acl set /story/a world:anyone:ra,world:anyone:cdw
> acl get /story/a
world:anyone:ra
world:anyone:cdw
> quota set -n 100 -B 5000 /story
> quota set -N 200 /story
> quota get /story
znodes, soft: at most 100
znodes, hard: at most 200
bytes, hard: at most 5,000
in use, znodes: 8, bytes: 4
> quota rm /story
> sync /story
> config
none: this server stands alone
> rm /story/me
> ephemerals
> acl set -R /story world:anyone:cdrwa
7 changed
> deleteall /story
7 znodes deleted
"""


def test_a_story_goes_the_same_on_every_server(here: Muskox, server: str) -> None:
    commands = [line[2:] for line in STORY.splitlines() if line.startswith("> ")]
    answers = [line for line in STORY.splitlines() if line and not line.startswith("> ")]
    out, err = said_by_script(here, server, "".join(f"{line}\n" for line in commands))
    assert out.splitlines() == answers and not err


REFUSALS = [
    ("get /none", "there is no znode /none"),
    ("stat /none", "there is no znode /none"),
    ("ls /none", "there is no znode /none"),
    ("ls -s /none", "there is no znode /none"),
    ("rm -r /none", "there is no znode /none"),
    ("cd /none", "there is no znode /none"),
    ("rm -r /", "the root stays: name what is to go"),
    ("rm -r -v 3 /held", "-v and -r do not go together"),
    ("create /none/child", "there is no znode /none to create it in: -p makes what is missing"),
    ("create /held", "/held exists already"),
    ("create -c -e /x", "a container is neither ephemeral nor sequential, and has no time to live"),
    ("create -e -t 5 /x", "an ephemeral ends with its session, so it has no time to live"),
    ("create -t 0 /x", "a time to live is from 1 to 1099511627775 ms"),
    ("create /x data -f file", "give DATA or -f FILE, not both"),
    ("create /x -f /none/file", "cannot read /none/file: No such file or directory"),
    ("create /x -a world:anyone", "'world:anyone' is no ACL entry: write scheme:id:permissions"),
    ("create /x -a auth::r", "the server does not take this ACL"),
    ("set -v 7 /held x", "/held is at version 0, not at version 7"),
    ("rm -v 7 /held", "/held is at version 0, not at version 7"),
    ("rm -v 7 /none", "there is no znode /none"),
    ("rm /held", "/held has children: `rm -r` deletes them too"),
    ("acl set -v 7 /held world:anyone:r", "/held is at aversion 0, not at aversion 7"),
    ("acl set /held", "`acl set` takes a path and an ACL"),
    ("acl get /held world:anyone:r", "`acl get` takes a path alone"),
    ("get /shut", "the ACL of /shut does not allow it: show who you are with `auth digest user:password`"),
    ("auth digest anna", "a credential of digest is user:password"),
    ("quota get /held", "/held has no quota"),
    ("quota set /held", "say which limit"),
    ("quota set -n -1 /held", "a limit is a number from 0"),
    ("quota set -n 5 /none", "there is no znode /none"),
    ("quota set -n 5 /zookeeper/config", "/zookeeper/config takes no quota"),
    ("quota rm -n 5 /held", "`quota rm` takes a path alone"),
    ("get", "the following arguments are required: PATH; it is used so: get [-s] [--raw] [-o FILE] [--json] PATH"),
    ("set -v soon /held x", "argument -v/--version: invalid int value: 'soon'"),
    ("nonsense", "there is no command 'nonsense': `help` lists them"),
    ("help nonsense", "there is no command 'nonsense': `help` lists them"),
    ("get 'open", "a quote is not closed: get 'open"),
]


@pytest.fixture(scope="module")
def furnished(server: str) -> Iterator[str]:
    client = KazooClient(server)
    client.start()
    client.create("/held", b"")
    client.create("/held/child", b"\x00\xff")
    client.add_auth("digest", "anna:secret")
    client.create("/shut", b"seen", zk_text.parse_acl("auth::cdrwa"))
    yield server
    client.delete("/held", recursive=True)
    client.delete("/shut")
    client.stop()
    client.close()


def test_each_refusal_is_one_sentence_with_the_line_and_ends_the_script_with_1(here: Muskox, furnished: str) -> None:
    for command, sentence in REFUSALS:
        out, err = said_by_script(here, furnished, f"# first\n\n{command}\nls /\n", code=1)
        assert not out and err.count("\n") == 1, (command, out, err)
        assert err.startswith(f"muskox: line 3: {sentence}"), (command, err)


def test_one_command_answers_and_its_refusal_exits_with_1(here: Muskox, furnished: str) -> None:
    assert here.run("zk", furnished, "ls", "/held") == ("child\n", "")
    assert here.refused("zk", furnished, "get", "/none") == "muskox: there is no znode /none"
    with mock.patch.dict(os.environ, {"MUSKOX_ZK": f"zk://{furnished}/held"}):
        assert here.spawn("keeper", "shell", f"zk://{furnished}/held", "ls") == ("child\n", "")
        with mock.patch.object(Muskox, "environment", dict(os.environ)):
            assert here.run("zk", "ls") == ("child\n", "")
    assert json.loads(here.run("zk", "--json", furnished, "ls", "/held")[0])["children"] == ["child"]
    assert "-x belongs before the address" in here.run("zk", furnished, "-x", "ls", code=2)[1]


def test_who_one_is_can_come_from_the_command_the_environment_or_a_script(here: Muskox, furnished: str) -> None:
    assert here.run("zk", "--auth", "digest:anna:secret", furnished, "get", "/shut")[0] == "seen\n"
    told = here.json("zk", "--auth", "digest:anna:secret", furnished, "whoami")["identities"]
    assert {"scheme": "digest", "user": "anna"} in told
    assert said_by_script(here, furnished, "auth digest anna:secret\nget /shut\n")[0] == "seen\n"
    assert "--auth takes a scheme and a credential" in here.refused("zk", "--auth", "anna", furnished, "ls")


def test_json_says_all_that_people_are_told(here: Muskox, furnished: str) -> None:
    held = here.json("zk", furnished, "get", "/held/child")
    assert held["base64"] == "AP8=" and held["stat"]["dataLength"] == 2
    assert re.fullmatch("0x[0-9a-f]+", held["stat"]["czxid"]) and held["stat"]["ephemeralOwner"] == "0x0"
    assert here.json("zk", furnished, "ls", "/held") == {"path": "/held", "children": ["child"]}
    assert here.json("zk", furnished, "ls", "-R", "/held")["znodes"] == ["/held", "/held/child"]
    assert here.json("zk", furnished, "tree", "/held")["znodes"] == ["/held", "/held/child"]
    long = here.json("zk", furnished, "ls", "-l", "-s", "/held")
    assert long["children"][0]["name"] == "child" and long["stat"]["numChildren"] == 1
    assert here.json("zk", furnished, "stat", "/held")["numChildren"] == 1
    assert here.json("zk", furnished, "acl", "get", "/held") == {"path": "/held", "acl": ["world:anyone:cdrwa"], "version": 0}
    lines = said_by_script(here, furnished, "cd /held\nls\n", "--json")[0]
    assert json.loads(lines.partition("}\n")[2]) == {"path": "/held", "children": ["child"]}


def test_a_chroot_is_the_root_of_what_is_seen(here: Muskox, server: str) -> None:
    below = f"zk://{server}/new/top"
    assert "the chroot /new/top does not exist" in here.refused("zk", below, "ls")
    made = "create -p /\ncreate -s /n- x\ncreate -e /e\n"
    script = f"{made}ephemerals\nls -R /\nquota set -n 5 /n-0000000000\nquota get /n-0000000000\n"
    out, _ = said_by_script(here, below, script)
    assert out.split("\n")[:7] == ["/", "/n-0000000000", "/e", "/e", "/", "/e", "/n-0000000000"]
    assert out.endswith("znodes, soft: at most 5\nin use, znodes: 1, bytes: 1\n")
    assert "/new/top/n-0000000000 below has a quota already" in here.refused("zk", server, "quota", "set", "-n", "9", "/new")
    assert here.run("zk", server, "rm", "-r", "/new")[0] == "3 znodes deleted\n"
    here.run("zk", server, "rm", "-r", "/zookeeper/quota/new")


HOSTILE = b"\x1b[31mred\xff"


def test_what_is_binary_or_hostile_is_shown_without_steering_the_terminal(here: Muskox, server: str, tmp_path: Path) -> None:
    file, back = tmp_path / "file", tmp_path / "back"
    file.write_bytes(HOSTILE)
    here.run("zk", server, "create", "/odd", "-f", str(file))
    here.run("zk", server, "create", "/odd/\u202eback", "plain")
    try:
        assert here.run("zk", server, "get", "/odd")[0] == (
            "00000000  1b 5b 33 31 6d 72 65 64  ff                       |.[31mred.|\n"
        )
        listed = here.run("zk", server, "ls", "-R", "/odd")[0] + here.run("zk", server, "ls", "-l", "/odd")[0]
        assert "\u202e" not in listed and "/odd/\\u202eback" in listed
        assert "/odd/\\x9b2J is not a path" in here.refused("zk", server, "create", "/odd/\x9b2J")
        assert here.run("zk", server, "get", "/odd", "-o", str(back))[0] == "" and back.read_bytes() == HOSTILE
        command = [sys.executable, "-m", "muskox", "zk", server]
        assert subprocess.run([*command, "get", "--raw", "/odd"], capture_output=True, check=True).stdout == HOSTILE
        subprocess.run([*command, "set", "/odd", "-f", "-"], input=b"\x00" * 5000, capture_output=True, check=True)
        out = here.run("zk", server, "get", "/odd")[0].splitlines()
        assert len(out) == 257 and out[-1] == "... and 904 bytes more: --raw gives all 5,000"
    finally:
        here.run("zk", server, "rm", "-r", "/odd")


@contextmanager
def watching(here: Muskox, server: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a `watch` in a process of its own; it watches by the time this yields."""
    process = here.start("zk", server, "watch", *words)
    try:
        assert process.stderr is not None and process.stderr.readline().startswith("watching /")
        yield process
    finally:
        process.kill()
        process.communicate()


def next_event(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    found.pop("time")
    return found


def test_watch_tells_each_event_until_ctrl_c(here: Muskox, server: str) -> None:
    here.run("zk", server, "create", "-p", "/seen/below")
    with watching(here, server, "-r", "-d", "/seen", "--json") as process:
        here.run("zk", server, "set", "/seen/below", "1")
        assert next_event(process) == {"event": "changed", "path": "/seen/below", "data": "1"}
        here.run("zk", server, "set", "/seen/below", "2")
        assert next_event(process) == {"event": "changed", "path": "/seen/below", "data": "2"}
        here.run("zk", server, "rm", "-r", "/seen")
        assert [next_event(process)["path"] for _ in range(2)] == ["/seen/below", "/seen"]
        process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS_MAX) == 0
    with watching(here, f"{server}/seen", "-n", "2", "/") as process:
        here.run("zk", server, "create", "-p", "/seen/child")
        out = process.communicate(timeout=SECONDS_MAX)[0]
    assert [line.split()[1:] for line in out.splitlines()] == [["created", "/"], ["children", "/"]]
    here.run("zk", server, "rm", "-r", "/seen")


def test_watch_goes_on_when_the_server_comes_back(here: Muskox) -> None:
    with Keeper() as keeper:
        here.run("zk", keeper.hosts, "create", "/a")
        with watching(here, keeper.hosts, "-n", "1", "/a", "--json") as process:
            keeper.kill()
            assert process.stderr is not None and "connection is lost" in process.stderr.readline()
            keeper.start()
            assert "connected again" in process.stderr.readline()
            here.run("zk", keeper.hosts, "set", "/a", "1")
            assert next_event(process) == {"event": "changed", "path": "/a"}
            assert process.wait(SECONDS_MAX) == 0


# -- conversations --------------------------------------------------------------------------------------------------------


class Terminal:
    """A conversation at a pseudo terminal: what is typed, and what the screen got."""

    def __init__(self, server: str, state: Path) -> None:
        self.master, slave = pty.openpty()
        environment = os.environ | {"XDG_STATE_HOME": str(state), "TERM": "xterm", "COLUMNS": "100", "INPUTRC": os.devnull}
        environment.pop("NO_COLOR", None)
        command = ["setsid", "--ctty", sys.executable, "-m", "muskox", "zk", server]  # Ctrl-C comes from one's own terminal
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
        os.close(slave)
        self.screen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str) -> str:
        """Return what came up to `text`, without colours."""
        deadline = time.monotonic() + SECONDS_MAX
        while text not in self.screen:
            assert select.select([self.master], [], [], deadline - time.monotonic())[0], self.screen
            self.screen += os.read(self.master, 65_536).decode()
            self.screen = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", self.screen)
        before, _, self.screen = self.screen.partition(text)
        return before

    def end(self) -> int:
        """Return the exit status; what is still written is read, so that nobody waits for us."""
        with suppress(OSError):  # a terminal whose other end is closed says so
            while os.read(self.master, 65_536):
                pass
        return self.process.wait(SECONDS_MAX)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@contextmanager
def terminal(server: str, state: Path) -> Iterator[Terminal]:
    made = Terminal(server, state)
    try:
        made.wait_for("Ctrl-D leaves")
        made.wait_for("/> ")
        yield made
    finally:
        made.close()


def test_a_conversation_completes_survives_errors_and_remembers(furnished: str, tmp_path: Path) -> None:
    with terminal(furnished, tmp_path) as screen:
        screen.type("tr\t/he\tch\t\n")  # the space after a command, the slash of a parent, and a child
        assert "tree /held/child" in screen.wait_for("1 znode\r\n")
        screen.type("acl g\t/held/\t\n")
        screen.wait_for("acl get /held/child")
        screen.wait_for("world:anyone:cdrwa\r\n")
        screen.type("get --r\t\x15get /none\n")
        screen.wait_for("there is no znode /none")
        screen.type("auth digest\n")
        screen.wait_for("credential (user:password): ")
        screen.type("anna:secret\n")
        screen.wait_for("/> ")
        screen.type("get /shut\n")
        screen.wait_for("seen\r\n")
        screen.type("auth digest anna:secret\n hidden\nls 'open\ncd /held\n")
        screen.wait_for("there is no command 'hidden'")
        screen.wait_for("a quote is not closed")
        screen.wait_for("/held> ")
        screen.type("watch\n")
        screen.wait_for("Ctrl-C ends it")
        screen.type("\x03")
        screen.wait_for("/held> ")
        screen.type("half a line")
        screen.wait_for("half a line")  # a signal that comes while readline takes in letters waits for the next of them
        screen.type("\x03")
        screen.wait_for("/held> ")
        screen.type("\x04")
        assert screen.end() == 0
    file = tmp_path / "muskox" / "zk_history"
    assert file.stat().st_mode & 0o077 == 0
    kept = file.read_text().splitlines()
    assert "get /shut" in kept and "cd /held" in kept
    assert not [line for line in kept if "auth" in line or "secret" in line or "hidden" in line]
    with terminal(furnished, tmp_path) as screen:
        screen.type("\x1b[A\n")  # the arrow up brings the last line back
        screen.wait_for("watch")
        screen.wait_for("Ctrl-C ends it")
        screen.type("\x03")
        screen.wait_for("/> ")
        screen.type("quit\n")
        assert screen.end() == 0


def test_help_needs_no_server_and_every_command_has_examples_that_parse(here: Muskox) -> None:
    import shlex

    from muskox.cli.zk_conversation import ALIASES, COMMANDS, expand

    listed = here.run("zk", "help")[0]
    for name, command in COMMANDS.items():
        assert f"{name} " in listed and command.examples
        told = here.run("zk", "127.0.0.1:1", "help", name)[0]
        for example in command.examples:
            assert f"  {example}\n" in told
            words = shlex.split(example)
            assert words[0] == name
            command.parser().parse_args(words[1:])
    assert all(expand([alias])[0] in (*COMMANDS, "help", "exit") for alias in ALIASES)


def test_where_nobody_answers_it_is_told_at_once_and_why(here: Muskox, tmp_path: Path) -> None:
    port = apache.free_ports(1)[0]
    assert (
        here.refused("zk", f"127.0.0.1:{port}", "ls") == f"muskox: no ZooKeeper answers at 127.0.0.1:{port}: Connection refused"
    )
    assert "'nowhere' is neither a command nor an address" in here.refused("zk", "nowhere", "ls")
    assert "zk:// there means TLS" in here.refused("zk", "zk://10.9.8.7:1", "ls")
    assert "--tls-cert and --tls-key" in here.refused("zk", "--tls-cert", str(tmp_path), "zk://10.9.8.7:1", "ls")
    assert "which TLS needs" in here.refused("zk", "--tls-ca", str(tmp_path / "none"), "zk://10.9.8.7:1", "ls")


@pytest.mark.skipif(not certificates.is_installed(), reason=certificates.REASON)
def test_tls_takes_the_authority_and_shows_a_certificate_where_one_is_asked_for(here: Muskox, tmp_path: Path) -> None:
    authority = certificates.Authority(tmp_path / "ca")
    certificate, key = authority.issue("server", "/CN=server")
    mine, my_key = authority.issue("anna", "/CN=anna")
    stranger = certificates.Authority(tmp_path / "stranger")
    port = apache.free_ports(1)[0]
    with Keeper(secure_client_port=port, tls_cert=certificate, tls_key=key, tls_ca=authority.ca):
        known = ("--tls-ca", str(authority.ca), "--tls-cert", str(mine), "--tls-key", str(my_key))
        told = here.json("zk", *known, f"localhost:{port}", "whoami")
        assert {"scheme": "x509", "user": "CN=anna"} in told["identities"]
        assert here.run("zk", *known, f"zk://127.0.0.1:{port}", "ls")[0] == "zookeeper\n"
        # In processes of their own: kazoo forgets to close a socket whose handshake failed.
        assert "no ZooKeeper answers" in here.spawn("zk", *known[:2], f"127.0.0.1:{port}", "ls", code=1)[1]
        unknown = ("--tls-ca", str(stranger.ca), *known[2:])
        assert "certificate verify failed" in here.spawn("zk", *unknown, f"127.0.0.1:{port}", "ls", code=1)[1]
        assert "TLS needs --tls-ca" in here.refused("zk", *known[2:], f"127.0.0.1:{port}", "ls")


def test_the_secret_of_a_cluster_opens_its_znodes(here: Muskox, server: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    make_secret(file)
    url = f"zk://{server}/cluster"
    with Session(url, read_secret(file)).connect():
        assert "the ACL of /config does not allow it" in here.refused("zk", url, "get", "/config")
        assert here.run("zk", "--secret-file", str(file), url, "get", "/config")[0]
    here.run("zk", "--secret-file", str(file), server, "rm", "-r", "/cluster")


def test_addresses_are_those_of_zookeepers_tools_and_of_a_cluster() -> None:
    found = {
        text: zk_client.find_address(text) for text in ("zk1:1,zk2:2/a/b/", "zk://zk1:1", "zk+plaintext://[::1]:1/a", "h:1/")
    }
    assert [(address.hosts, chroot, address.is_plaintext) for address, chroot in found.values()] == [
        ("zk1:1,zk2:2", "/a/b", True),
        ("zk1:1", "", False),
        ("[::1]:1", "/a", True),
        ("h:1", "", True),
    ]


def test_acls_and_quotas_are_read_and_written_as_apaches_shell_does() -> None:
    texts = ["world:anyone:cdrwa", "digest:anna:aGFzaA==:r", "auth::cd", "ip:fe80::1:w"]
    assert [zk_text.acl_text(entry) for entry in zk_text.parse_acl(",".join(texts))] == texts
    for wrong in ("", "world", "world:anyone", "world:anyone:", "world:anyone:rx", ":anyone:r"):
        with pytest.raises(CallerError, match="is no ACL entry"):
            zk_text.parse_acl(wrong)
    written = b"count=5,bytes=-1=;byteHardLimit=7;countHardLimit=-1"
    assert format_track({"count": 5, "byteHardLimit": 7}) == written
    assert parse_track(written) == {"count": 5, "byteHardLimit": 7}
    assert parse_track(b"count=1,bytes=2") == {"count": 1, "bytes": 2} and parse_track(None) == {}
