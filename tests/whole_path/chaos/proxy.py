"""A TCP proxy before the keeper that can be cut for some processes: their bytes wait, and no end of a connection is seen.

That is what a pulled cable does: nothing arrives any more, and nobody is told. When it is mended, what waited flows on.
"""

import asyncio
import contextlib
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from muskox.coordination import CHROOT


@dataclass(eq=False)
class Wire:
    """One connection, by the port that its client has."""

    port: int
    is_whole: asyncio.Event = field(default_factory=asyncio.Event)


class KeeperProxy(threading.Thread):
    """Listens on `port` of loopback and passes everything on to the keeper's."""

    def __init__(self, keeper_port: int) -> None:
        super().__init__(name="keeper proxy", daemon=True)
        self.port = 0
        self._keeper_port = keeper_port
        self._wires: set[Wire] = set()
        self._cut: set[int] = set()  # processes whose wires are cut
        self._is_all_cut = False
        self._listens = threading.Event()
        self._loop = asyncio.new_event_loop()

    @property
    def url(self) -> str:
        return f"zk://127.0.0.1:{self.port}{CHROOT}"

    def start(self) -> None:
        super().start()
        self._listens.wait()

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())

    def cut(self, pids: Collection[int]) -> None:
        """Cut the wires of these processes, those to come too; of none in particular: everybody's."""
        self._cut |= set(pids)
        self._is_all_cut = self._is_all_cut or not pids
        self._loop.call_soon_threadsafe(self._look)

    def mend(self, pids: Collection[int]) -> None:
        self._cut -= set(pids)
        self._is_all_cut = self._is_all_cut and bool(pids)
        self._loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        ports = ports_of(self._cut) if self._cut else set()
        for wire in self._wires:
            if self._is_all_cut or wire.port in ports:
                wire.is_whole.clear()
            else:
                wire.is_whole.set()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._join, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._listens.set()
        await server.serve_forever()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(writer.get_extra_info("peername")[1])
        self._wires.add(wire)
        self._look()
        try:
            await wire.is_whole.wait()
            theirs, ours = await asyncio.open_connection("127.0.0.1", self._keeper_port)
            await asyncio.gather(pour(reader, ours, wire), pour(theirs, writer, wire))
        except OSError:
            writer.close()
        finally:
            self._wires.discard(wire)


async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter, wire: Wire) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            await wire.is_whole.wait()
            sink.write(data)
            await sink.drain()
    await wire.is_whole.wait()
    sink.close()


def ports_of(pids: Collection[int]) -> set[int]:
    """Return the local TCP ports of these processes, as Linux tells them."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(descriptor.readlink().name.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[9] in inodes:
            found.add(int(words[1].rpartition(":")[2], 16))
    return found
