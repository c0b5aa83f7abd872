"""The digest: what a model, a state or a shard *is*, whatever container it lies in.

SHA-256 over the sorted (name, dtype, shape, little-endian C-order bytes) of the arrays, then the canonical JSON of the rest.
Lineage, times, deaths and file bytes are not in it.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from muskox.records import bytes_of, canonical_json, normal, split


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 digest of `record` as 64 hexadecimal characters.

    Equal for equal values whatever the order of names, the byte order or the memory layout of the arrays.

    Examples
    --------
    >>> import numpy as np
    >>> digest({"coef": np.zeros(2), "classes": [0, 1]}) == digest({"classes": [0, 1], "coef": np.zeros(2)})
    True
    """
    arrays, rest = split(normal(record))
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        head = canonical_json([name, little.dtype.str.replace("|", "<"), list(little.shape)]).encode()
        sha.update(len(head).to_bytes(8, "little"))
        sha.update(head)
        sha.update(bytes_of(little))
    sha.update(canonical_json(rest).encode())
    return sha.hexdigest()


def outline(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return of `record` what people read, as JSON: arrays left out, and of a record within that holds arrays the digest alone.

    >>> sorted(outline({"seed": 0, "centres": np.zeros(2), "begin_with": {"coef": np.zeros(2)}}))
    ['begin_with', 'seed']
    """
    told: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            holds = any(isinstance(part, np.ndarray) for part in value.values())
            told[name] = {"digest": digest(value)} if holds else outline(value)
        elif not isinstance(value, np.ndarray):
            told[name] = value
    return told
