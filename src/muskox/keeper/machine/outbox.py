"""What one event makes leave the machine: log entries, bytes for each connection, orders; collected, then taken at once.

Bytes for one connection leave as one action, in the order in which they were put here.
"""

from muskox.keeper.machine.events import Action, AppendTransactions, CloseConnection, Send


class Outbox:
    """Empty between events."""

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.parts: dict[int, list[bytes]] = {}
        self.orders: list[Action] = []

    def parts_for(self, number: int) -> list[bytes]:
        """Return the list to which what goes to a connection is appended."""
        return self.parts.setdefault(number, [])

    def close(self, number: int) -> None:
        """Order a connection closed, after its last words."""
        parts = self.parts.pop(number, None)
        if parts:
            self.orders.append(Send(number, b"".join(parts), len(parts)))
        self.orders.append(CloseConnection(number))

    def take(self, zxid_first: int, zxid_last: int) -> list[Action]:
        """Return all as actions; the entries are those of the transactions from `zxid_first` to `zxid_last`."""
        actions: list[Action] = []
        if self.entries:
            actions.append(AppendTransactions(zxid_first, zxid_last, self.entries))
            self.entries = []
        if self.parts:
            actions.extend(Send(number, b"".join(parts), len(parts)) for number, parts in self.parts.items() if parts)
            self.parts = {}
        if self.orders:
            actions.extend(self.orders)
            self.orders = []
        return actions
