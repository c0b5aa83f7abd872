"""A worker's links by generation and peer: what is said before a link stands waits for it, what belongs to the past is let go.

It knows which generation is the present one and who is in it, and nothing of what is said.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from muskox.errors import PeerError
from muskox.runtime.collective.links import Link, LinkOptions, Links
from muskox.runtime.collective.memory import Arena
from muskox.runtime.message import Buffer
from muskox.runtime.messages import Collective, Moved

WAITING_MAX = 4096  # messages for a link that does not stand yet: a Hello of each member, and a round's parts

OnMessage = Callable[[str, Collective, Buffer], None]
OnLost = Callable[[str, int, str], None]  # peer, generation, reason


class Lines:
    """See the head of this file. `on_message` is told of the present generation and of later ones."""

    def __init__(self, options: LinkOptions, arena: Arena, on_message: OnMessage, on_lost: OnLost) -> None:
        self._links = Links(options, self, arena)
        self._on_message = on_message
        self._on_lost = on_lost
        self._generation = 0
        self._addresses: Mapping[str, str] = {}
        self._open: dict[tuple[int, str], Link] = {}
        self._waiting: dict[str, deque[tuple[Collective, Buffer]]] = {}  # of the present generation
        self._dialling: set[asyncio.Task[None]] = set()

    async def listen(self, host: str) -> int:
        """Accept links from now on; return the port."""
        server = await self._links.listen(host)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def form(self, generation: int, addresses: Mapping[str, str]) -> None:
        """Leave the former generation for this one."""
        for key in [key for key in self._open if key[0] < generation]:
            _leave(self._open.pop(key))
        self._generation, self._addresses, self._waiting = generation, addresses, {}

    def expect(self, peers: Iterable[str]) -> None:
        """These are our neighbours: a link with each will stand, whoever of us opens it."""
        self._waiting |= {peer: deque() for peer in peers if (self._generation, peer) not in self._open}

    def unlinked(self, generation: int) -> list[str]:
        """Return the neighbours with whom no link has ever stood in this generation."""
        return list(self._waiting) if generation == self._generation else []

    def dial(self, peer: str, generation: int) -> None:
        task = asyncio.get_running_loop().create_task(self._dial(peer, generation, self._addresses[peer]))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, peer: str, generation: int, address: str) -> None:
        try:
            link = await self._links.dial(address, peer, generation)
        except PeerError as error:
            self._on_lost(peer, generation, str(error))
        else:
            self.opened(link)

    def send(self, peer: str, message: Collective, body: Buffer = b"") -> None:
        link = self._open.get((self._generation, peer))
        waiting = self._waiting.get(peer)
        if link is not None:
            link.send(message, body)
        elif waiting is not None and len(waiting) < WAITING_MAX:
            waiting.append((message, body))
        else:
            self._on_lost(peer, self._generation, f"there is no connection with {peer}")

    @property
    def are_behind(self) -> bool:
        """Whether something that was sent still lies in our memory, or waits for a link that does not stand yet."""
        return self._links.are_behind or any(self._waiting.values())

    def drop(self, peer: str) -> None:
        """End our link with this peer: it is no death of ours."""
        link = self._open.pop((self._generation, peer), None)
        if link is not None:
            _leave(link)

    # -- what links tell --

    def opened(self, link: Link) -> None:
        if link.generation < self._generation:
            _leave(link)
            return
        self._open[(link.generation, link.peer)] = link
        if link.generation == self._generation:
            for message, body in self._waiting.pop(link.peer, ()):
                link.send(message, body)

    def heard(self, link: Link, message: Collective, body: Buffer) -> None:
        self._on_message(link.peer, message, body)

    def lost(self, link: Link, reason: str) -> None:
        if self._open.get((link.generation, link.peer)) is link:
            del self._open[(link.generation, link.peer)]
            self._on_lost(link.peer, link.generation, reason)


def _leave(link: Link) -> None:
    link.send(Moved(link.generation))
    link.close()
