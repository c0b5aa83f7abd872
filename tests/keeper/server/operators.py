"""A server's status without a server: a machine in its own world, and the figures that a shell would keep."""

from pathlib import Path

from raw import OPEN
from world import World

from muskox.keeper.server.figures import Figures, Traffic
from muskox.keeper.server.options import Options
from muskox.keeper.server.status import Status
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import CreateRequest, PathWatch

NOW_MS = 1_700_000_000_000


def joined(figures: Figures, number: int, host: str = "127.0.0.1", is_secure: bool = False) -> Traffic:
    figures.traffics[number] = Traffic(number, (host, 5_000 + number), is_secure, NOW_MS)
    return figures.traffics[number]


def lived_in(folder: Path, words: tuple[str, ...] = ("*",)) -> tuple[World, Status]:
    """Return a world with two sessions, three znodes and some watches, and its status."""
    world = World()
    (folder / "version-2").mkdir(exist_ok=True)
    status = Status(Options(data_dir=folder, four_letter_words=words), world.machine, Figures(), {})
    for number in (1, 2):
        joined(status.figures, number, is_secure=number == 2)
        world.open(number)
    world.create(1, "/a", b"12345")
    world.ask(1, OpCode.CREATE, CreateRequest("/e", b"", OPEN, 1))
    world.create(2, "/b")
    world.get(1, "/a", watch=True)
    world.get(2, "/a", watch=True)
    world.ask(2, OpCode.GET_CHILDREN, PathWatch("/", True))
    world.get(2, "/b", watch=True)
    world.set(2, "/b", b"")  # its watch fires
    return world, status
