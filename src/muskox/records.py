"""Records: the values that programs compute with and that travel between processes.

A record is a ``dict`` from names to NumPy arrays, JSON values or further records. It owns how such a value becomes bytes
(safetensors for the arrays, canonical JSON for the rest) and back; it never unpickles. It knows nothing of who sends it.

The bytes are a transport, not an identity: for identity take :func:`muskox.digest.digest`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muskox.errors import CallerError, PeerError

Record = dict[str, Any]
Array = NDArray[Any]

SEPARATOR = "/"  # joins the names of nested records: {"a": {"b": 1}} is a/b


def pack(record: Mapping[str, Any]) -> bytes:
    """Return `record` as bytes that :func:`unpack` restores exactly, arrays with dtype and shape.

    Raises
    ------
    CallerError
        If a value is neither an array of numbers, a record, nor finite JSON.
    """
    from safetensors.numpy import save

    arrays, rest = split(record)
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    return bytes(save(contiguous, metadata={"json": canonical_json(rest)}))


def unpack(data: bytes) -> Record:
    """Return the record that :func:`pack` wrote.

    Raises
    ------
    PeerError
        If `data` is anything else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        record: Record = nested(json.loads(header["__metadata__"]["json"]))
        arrays = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise PeerError(f"{len(data)} bytes are not a packed record: {error}") from error
    for path, array in arrays.items():
        insert(record, path, array)
    return record


def split(record: Mapping[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return the arrays of `record` and everything else of it, each flat, by joined name."""
    arrays: dict[str, Array] = {}
    rest: dict[str, Any] = {}
    for path, value in leaves(record, ""):
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf":
                raise CallerError(f"array {path!r} has dtype {value.dtype}; a record holds bool, int and float arrays")
            arrays[path] = value
        else:
            rest[path] = value
    return arrays, rest


def leaves(record: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if SEPARATOR in name:
            raise CallerError(f"a record's names have no {SEPARATOR!r} in them: {name!r}")
        path = prefix + name
        if isinstance(value, dict) and value:
            yield from leaves(value, path + SEPARATOR)
        else:
            yield path, value


def nested(flat: Mapping[str, Any]) -> Record:
    record: Record = {}
    for path, value in flat.items():
        insert(record, path, value)
    return record


def insert(record: Record, path: str, value: Any) -> None:
    *parents, name = path.split(SEPARATOR)
    for parent in parents:
        record = record.setdefault(parent, {})
        if not isinstance(record, dict):
            raise PeerError(f"{path!r} is both a value and a record")
    record[name] = value


def canonical_json(value: Any) -> str:
    """Return `value` as JSON with sorted keys, no blanks, and no NaN or infinity.

    Raises
    ------
    CallerError
        If `value` is not finite JSON.
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CallerError(f"{value!r:.200} is not finite JSON: {error}") from error
