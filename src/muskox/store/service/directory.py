"""From node names to where they are, looked up when needed: a node may come back at another address."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from muskox.coordination import Session, layout, live_members

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_host() -> str:
    """Return what tells this machine from others for as long as it runs; "" where that cannot be known."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


class Directory:
    """The live nodes as this process last saw them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._members: dict[str, layout.MemberRecord] = {}
        self._host = this_host()

    def members(self) -> dict[str, layout.MemberRecord]:
        """Return every node that is live now, by name."""
        self._members = live_members(self._session)
        return dict(self._members)

    def live(self) -> dict[str, str]:
        """Return the address of every node that is live now, by name."""
        return {name: member.address for name, member in self.members().items()}

    def address(self, node: str) -> str | None:
        """Return where one node can be reached now, or None if it is away."""
        found = self._session.find(layout.member(node), layout.MemberRecord)
        return None if found is None else found[0].address

    def open_to_shards(self) -> dict[str, layout.MemberRecord]:
        """Return the live nodes that may be given shards: those that are not being drained."""
        drained = self._session.children(layout.DRAINS)
        return {name: member for name, member in self.members().items() if name not in drained}

    def candidates(self, nodes: Sequence[str], again: Callable[[], Sequence[str]] | None = None) -> Iterator[str]:
        """Yield the known addresses of `nodes`; then, should none of them have served, look again and yield the new ones.

        `again` returns who else may have it by now: shards move from node to node.
        """
        known = self._members
        tried = [known[node].address for node in nodes if node in known]
        yield from tried
        live = self.live()
        for node in nodes if again is None else [*nodes, *again()]:
            if node in live and live[node] not in tried:
                tried.append(live[node])
                yield live[node]

    def anybody(self, order: Callable[[Sequence[str]], Sequence[str]]) -> Iterator[str]:
        """Yield the addresses of all live nodes in this order, those known first: for what every node can get."""
        return self.candidates(order(list(self._members)), lambda: order(list(self._members)))

    def local_folders(self, nodes: Sequence[str]) -> list[Path]:
        """Return the folders of those of `nodes` that run on this very machine."""
        if not self._members:
            self.members()
        own = [self._members[node] for node in nodes if node in self._members]
        return [Path(member.folder) for member in own if member.folder and self._host and member.host == self._host]
