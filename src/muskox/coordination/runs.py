"""Sets of shard indexes as short texts, so that a record grows with pieces and not with shards. Pure."""


def format_runs(shards: list[int]) -> str:
    """Return sorted shard indexes as runs, so that a record grows with pieces and not with shards.

    >>> format_runs([0, 1, 2, 3, 8, 10, 11])
    '0-3,8,10-11'
    """
    runs: list[list[int]] = []
    for index in sorted(shards):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def parse_runs(text: str) -> list[int]:
    """Return the indexes that :func:`format_runs` wrote."""
    shards: list[int] = []
    for run in filter(None, text.split(",")):
        first, _, last = run.partition("-")
        shards.extend(range(int(first), int(last or first) + 1))
    return shards


def count_runs(text: str) -> int:
    """Return how many indexes that is, without making them.

    >>> count_runs("0-3,8"), count_runs("")
    (5, 0)
    """
    ends = (run.partition("-") for run in filter(None, text.split(",")))
    return sum(int(last or first) - int(first) + 1 for first, _, last in ends)
