"""Column groups: which columns of a shard lie together in one file, apart from the others.

It owns the notation ``"ids:id,user; text:body; features:*"`` and the question which groups a reader of some columns has to
touch. Pure. Rows have the same order in every group, so a join is a zip of blocks.
"""

from collections.abc import Mapping, Sequence

from muskox.errors import CallerError

GROUPS_MAX = 64  # of one dataset: each is a file a shard
REST = "*"

Groups = dict[str, list[str]]  # name -> its columns, both in order


def parse_groups(text: str, columns: Sequence[str]) -> Groups:
    """Return the groups that `text` names; without any, all columns are the one group "".

    Every column is in exactly one group: one group may take all that no other names, written ``*``.

    Raises
    ------
    CallerError
        If a column is unknown, in two groups or in none, or a name is used twice.

    Examples
    --------
    >>> parse_groups("ids:id; features:*", ["id", "x", "y"])
    {'ids': ['id'], 'features': ['x', 'y']}
    """
    if not text.strip():
        return {"": list(columns)}
    groups: Groups = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        name, colon, listed = part.partition(":")
        name = name.strip()
        if not colon or not name or name in groups:
            why = "is named twice" if name in groups else "is not NAME:COLUMN,COLUMN"
            raise CallerError(f"column group {part!r} {why}: write groups as 'ids:id,user; text:body; features:*'")
        groups[name] = [column.strip() for column in listed.split(",") if column.strip()]
    if len(groups) > GROUPS_MAX:
        raise CallerError(f"a dataset has at most {GROUPS_MAX} column groups, not {len(groups)}")
    return _resolved(groups, columns)


def _resolved(groups: Groups, columns: Sequence[str]) -> Groups:
    """Return the groups with ``*`` replaced by what nobody names, each group's columns in the order of the dataset."""
    owner: dict[str, str] = {}
    for name, listed in groups.items():
        for column in listed:
            if column != REST and column not in columns:
                raise CallerError(f"column group {name!r} names {column!r}: no such column; this data has {', '.join(columns)}")
            if column in owner:
                raise CallerError(f"column {column!r} is in the groups {owner[column]!r} and {name!r}: one column, one group")
            owner[column] = name
    rest = owner.pop(REST, None)
    nameless = [column for column in columns if column not in owner]
    if nameless and rest is None:
        raise CallerError(f"column {nameless[0]!r} is in no group: name it, or let one group take the rest, such as 'rest:*'")
    resolved = {name: [column for column in columns if owner.get(column, rest) == name] for name in groups}
    for name, listed in resolved.items():
        if not listed:
            raise CallerError(f"column group {name!r} has no column")
    return resolved


def touched(groups: Mapping[str, Sequence[str]] | Sequence[Sequence[str]], columns: Sequence[str] | None) -> list[int]:
    """Return the positions of the groups that hold `columns` (None: all of them), at least one: rows must be counted somewhere.

    >>> touched({"ids": ["id"], "features": ["x", "y"]}, ["y"])
    [1]
    """
    listed = list(groups.values()) if isinstance(groups, Mapping) else list(groups)
    if columns is None:
        return list(range(len(listed)))
    wanted = frozenset(columns)
    return [position for position, own in enumerate(listed) if not wanted.isdisjoint(own)] or [0]
