"""How many clients may be connected, from one address and in all: Apache's maxClientCnxns and maxCnxns.

It only counts. Whoever is refused is disconnected without a word, as Apache does, so the reason is for the one who runs the
server.
"""

from collections import Counter


class Admission:
    """Counts connections by address; 0 for either bound sets none.

    Parameters
    ----------
    per_address_max : how many one address may have
    total_max : how many all addresses together may have
    """

    def __init__(self, per_address_max: int, total_max: int) -> None:
        self.per_address_max = per_address_max
        self.total_max = total_max
        self.by_address: Counter[str] = Counter()
        self.total = 0

    def bound(self, total_max: int) -> None:
        """Admit no more than this in all, whatever else is allowed."""
        self.total_max = min(self.total_max or total_max, total_max)

    def admit(self, address: str) -> str | None:
        """Count a connection from `address`, or return the sentence why there may not be another."""
        if self.total_max and self.total >= self.total_max:
            return (
                f"a connection from {address} is refused: {self.total} of {self.total_max} are open; "
                "raise maxCnxns or --max-connections, and the limit of open files (ulimit -n) if that is lower"
            )
        if self.per_address_max and self.by_address[address] >= self.per_address_max:
            return (
                f"a connection from {address} is refused: it has {self.per_address_max}, as many as one address may; "
                "raise maxClientCnxns or --max-client-connections"
            )
        self.by_address[address] += 1
        self.total += 1
        return None

    def left(self, address: str) -> None:
        """Forget one connection that was admitted."""
        self.total -= 1
        self.by_address[address] -= 1
        if not self.by_address[address]:
            del self.by_address[address]
