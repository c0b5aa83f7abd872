"""``watch``: what happens to a znode, or to everything below it, line by line until Ctrl-C.

It asks for a persistent watch, which ZooKeeper has since 3.6: one that misses nothing while the connection holds. After a
lost connection it asks again, and says that something may have been missed.
"""

import contextlib
import queue
import sys
from datetime import datetime
from typing import Any

from kazoo.exceptions import KazooException, NoNodeError
from kazoo.protocol.serialization import Watch
from rich.text import Text

from muskox.cli import screen, zk_text
from muskox.cli.keeper import printable
from muskox.cli.zk_client import LOST, AddWatch, RemoveWatches, ask, listening
from muskox.cli.zk_command import PATH_OR_HERE, Answer, Command, Place, word

LOOK_S = 0.2  # a Ctrl-C that comes just before a wait is heard after it: Python looks for signals between its own steps only
KINDS = {1: ("created", "green"), 2: ("deleted", "red"), 3: ("changed", "yellow"), 4: ("children", "cyan")}


def watch(place: Place, given: Any) -> Answer | None:
    path = place.resolve(given.path)
    arrived: queue.SimpleQueue[Watch | str] = queue.SimpleQueue()
    mode = AddWatch.RECURSIVE if given.recursive else AddWatch.PERSISTENT
    request = AddWatch(place.full(path), mode)
    client = place.client
    with listening(client, arrived.put):
        client.add_listener(arrived.put)
        try:
            ask(client, request)
            screen.tell(f"watching {path}{' and all below' if given.recursive else ''}: Ctrl-C ends it")
            follow(place, request, arrived, given)
        except KeyboardInterrupt:
            if sys.stdout.isatty():
                sys.stdout.write("\n")  # after the ^C that the terminal shows
        finally:
            client.remove_listener(arrived.put)
            if client.connected:
                with contextlib.suppress(KazooException):
                    ask(client, RemoveWatches(place.full(path)))
    return None


def follow(place: Place, request: AddWatch, arrived: "queue.SimpleQueue[Watch | str]", given: Any) -> None:
    """Write what arrives, until there have been as many events as are wanted."""
    left = given.count
    while left is None or left > 0:
        try:
            event = arrived.get(timeout=LOOK_S)
        except queue.Empty:
            continue
        if isinstance(event, str):
            if event != "CONNECTED":
                screen.tell("the connection is lost; waiting for a server")
                continue
            with contextlib.suppress(*LOST):
                ask(place.client, request)
                screen.tell("connected again; what happened in between was not seen")
            continue
        if event.type not in KINDS:
            continue
        write(place, event, given)
        left = None if left is None else left - 1


def write(place: Place, event: Watch, given: Any) -> None:
    kind, colour = KINDS[event.type]
    path = place.local(event.path)
    now = datetime.now().astimezone()
    data: tuple[bytes | None] | None = None
    if given.data and kind in ("created", "changed"):
        with contextlib.suppress(NoNodeError):
            data = (place.client.get(event.path)[0],)
    if given.json:
        line = {"time": now.isoformat(timespec="milliseconds"), "event": kind, "path": path}
        screen.print_json_line(line | (zk_text.plain_data(data[0]) if data else {}))
        return
    text = Text.assemble((now.strftime("%H:%M:%S.%f")[:-3], "dim"), "  ", (f"{kind:8}", colour), "  ", printable(path))
    if data:
        text.append(f"  {printable(zk_text.short_data(data[0]))}", "dim")
    screen.output().print(text, soft_wrap=True)


WATCHING = (
    Command(
        "watch",
        watch,
        "print what happens to a znode and the list of its children, until Ctrl-C",
        (
            PATH_OR_HERE,
            word("-r", "-R", "--recursive", action="store_true", help="to everything below too"),
            word("-d", "--data", action="store_true", help="with the data that it has now"),
            word("-n", "--count", metavar="N", type=int, help="end after so many events"),
        ),
        ("watch /a", "watch -r -d /brokers", "watch -n 1 /a --json"),
    ),
)
