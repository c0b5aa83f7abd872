"""Trusted code: whether the Python source that a model's record holds may run in this process.

A record is data, and loading one runs nothing. Some models are made of code, though (a PyTorch module's source, as "source"):
that runs only once somebody here has said so, for that very text, or for all: a worker runs what members of its cluster gave
it, and they proved the cluster's secret.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from muskox.errors import CallerError

_EVERYTHING = "*"
_trusted: dict[str, bool] = {}  # by SHA-256 of the text


def trust(source: str) -> None:
    """Let this text run as code in this process from now on."""
    _trusted[_name(source)] = True


def trust_everything() -> None:
    """Let any model's code run in this process: what reaches it comes from those who may give it code anyway."""
    _trusted[_EVERYTHING] = True


def require_trust(record: Mapping[str, Any]) -> None:
    """Raise CallerError if a model's record holds code that nobody has trusted here.

    Examples
    --------
    >>> require_trust({"model": "muskox.learn:LogisticModel"})
    """
    source = record.get("source")
    if source and not (_trusted.get(_EVERYTHING) or _trusted.get(_name(str(source)))):
        raise CallerError(
            'this model contains Python code, which runs when it predicts: read it (record["source"]), and if you trust '
            "whoever wrote it, say so: load_model(record, trust_code=True), cluster.model(name, trust_code=True), --trust-code"
        )


def _name(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()
