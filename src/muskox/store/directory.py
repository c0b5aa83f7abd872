"""From node names to addresses, looked up when they are needed: a node may come back at another address."""

from collections.abc import Iterator, Sequence

from muskox.coordination import Session, live_members


class Directory:
    """The live nodes as this process last saw them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._addresses: dict[str, str] = {}

    def live(self) -> dict[str, str]:
        """Return the address of every node that is live now, by name."""
        self._addresses = {name: member.address for name, member in live_members(self._session).items()}
        return dict(self._addresses)

    def candidates(self, nodes: Sequence[str]) -> Iterator[str]:
        """Yield the known addresses of `nodes`; then, should none of them have served, look again and yield the new ones."""
        tried = [self._addresses[node] for node in nodes if node in self._addresses]
        yield from tried
        live = self.live()
        yield from (live[node] for node in nodes if node in live and live[node] not in tried)
