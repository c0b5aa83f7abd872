"""Trusted code: whether the Python source that a model's record holds may run in this process.

A record is data, and loading one runs nothing. Some models are made of code, though (a PyTorch module's source, as "source"):
that runs only once somebody here has said so, for that very text, or for all: a worker runs what members of its cluster gave
it, and they proved the cluster's secret.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from muskox.errors import CallerError

_EVERYTHING = "*"
_trusted: dict[str, bool] = {}  # by SHA-256 of the text


def trust(source: str) -> None:
    """Let this text run as code in this process from now on."""
    _trusted[_name(source)] = True


def trust_held(record: Mapping[str, Any]) -> None:
    """Let the code that a model's record holds, if any, run in this process from now on."""
    for source in sources(record):
        trust(source)


def trusted() -> list[str]:
    """Return what is trusted here, for :func:`trust_only` in a process that works for this one."""
    return list(_trusted)


def trust_only(names: Iterable[str]) -> None:
    """Trust what another process does, which told it by :func:`trusted`, and nothing else."""
    _trusted.clear()
    _trusted.update(dict.fromkeys(names, True))


def trust_everything() -> None:
    """Let any model's code run in this process: what reaches it comes from those who may give it code anyway."""
    _trusted[_EVERYTHING] = True


def require_trust(record: Mapping[str, Any]) -> None:
    """Raise CallerError if a model's record holds code that nobody has trusted here.

    Examples
    --------
    >>> require_trust({"model": "muskox.learn:LogisticModel"})
    """
    if not all(_trusted.get(_EVERYTHING) or _trusted.get(_name(source)) for source in sources(record)):
        raise CallerError(
            'this model contains Python code, which runs when it predicts or is fitted: read it (record["source"]), and if you '
            "trust its author, say so: load_model(record, trust_code=True), cluster.model(name, trust_code=True), --trust-code"
        )


def sources(record: Mapping[str, Any]) -> Iterator[str]:
    """Return the code that a model's record holds, and that of the models it is made of, the steps of a pipeline."""
    if record.get("source"):
        yield str(record["source"])
    steps = record.get("steps")
    for step in steps.values() if isinstance(steps, Mapping) else ():
        yield from sources(step) if isinstance(step, Mapping) else ()


class Adopted(str):
    """A source that came with a model's record: it runs only where it is trusted, as whoever copies it is told by its type."""

    __slots__ = ()


def _name(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()
