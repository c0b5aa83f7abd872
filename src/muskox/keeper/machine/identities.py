"""The identities that one connection has proved: bounded, each once, in the order in which Apache lists them.

Apache keeps them in a Java hash set, and its order can be seen: in an ACL that says "auth", and in the answer to whoAmI.
"""

from muskox.keeper.wire.records import Id

IDENTITIES_MAX = 64  # of one connection: each is compared with each entry of an ACL
TABLE_MIN = 16
HASHED_MAX = 1_024  # characters: of a user's name that is longer, and may be a megabyte, the rest does not count
HASH_MASK = 0xFFFFFFFF


def with_identity(identities: tuple[Id, ...], identity: Id) -> tuple[Id, ...] | None:
    """Return `identities` and one more, in order; None if they are too many."""
    if identity in identities:
        return identities
    if len(identities) >= IDENTITIES_MAX:
        return None
    size = size_for(len(identities))
    bins: list[list[Id]] = [[] for _ in range(size)]
    for each in (*identities, identity):
        bins[place_of(each) % size].append(each)
    if size_for(len(identities) + 1) > size:
        bins = doubled(bins)
    return tuple(each for entries in bins for each in entries)


def size_for(count: int) -> int:
    """Return the size of a table with `count` entries: it grows when three quarters are full."""
    size = TABLE_MIN
    while count * 4 >= size * 3:
        size *= 2
    return size


def doubled(bins: list[list[Id]]) -> list[list[Id]]:
    """Return a table twice as long: its bins are split, and what stands before the last run of one half is turned around."""
    size = len(bins)
    split: list[list[Id]] = [[] for _ in range(2 * size)]
    for entries in bins:
        places = [place_of(each) % (2 * size) for each in entries]
        run = len(entries) - 1
        while run > 0 and places[run - 1] == places[-1]:
            run -= 1
        if entries:
            split[places[-1]] = entries[run:]
        for each, place in zip(entries[: max(run, 0)], places, strict=False):
            split[place].insert(0, each)
    return split


def place_of(identity: Id) -> int:
    """Return what java.util.concurrent.ConcurrentHashMap makes of the hash of Apache's Id."""
    value = (17 * 37 + hash_of(identity.scheme or "")) * 37 + hash_of(identity.id or "") & HASH_MASK
    return value ^ value >> 16


def hash_of(text: str) -> int:
    """Return Java's hash of a string: over its UTF-16 units."""
    units = text[:HASHED_MAX].encode("utf-16-be", "surrogatepass")
    value = 0
    for at in range(0, len(units), 2):
        value = value * 31 + units[at] * 256 + units[at + 1] & HASH_MASK
    return value
