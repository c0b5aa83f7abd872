"""Records: the values that programs compute with and that travel between processes.

A record is a ``dict`` from names to NumPy arrays, JSON values or further records. It owns how such a value becomes bytes
(safetensors for the arrays, canonical JSON for the rest) and back; it never unpickles. It knows nothing of who sends it.

The bytes are a transport, not an identity: for identity take :func:`muskox.digest.digest`.
"""

import json
import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from muskox.errors import CallerError, PeerError

Record = dict[str, Any]
Array = NDArray[Any]

ITEM_BYTES_MAX = 8  # of an array: long doubles differ from machine to machine
LENGTH_BYTES = 8  # of the header's length
ALIGNMENT = 64  # where the arrays begin: no element then lies across two lines of a cache
DTYPES = {
    "b1": "BOOL", "i1": "I8", "u1": "U8", "i2": "I16", "u2": "U16", "i4": "I32", "u4": "U32", "i8": "I64", "u8": "U64",
    "f2": "F16", "f4": "F32", "f8": "F64",
}  # fmt: skip  # NumPy's names and safetensors'
TYPES = {name: dtype for dtype, name in DTYPES.items()}
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
PLAIN = frozenset((str, int, bool, type(None)))  # what is in its normal form as it is
KNOWN_JSON_MAX = 1 << 12  # characters of JSON in a header that is remembered
SEPARATOR = "/"  # joins the names of nested records: {"a": {"b": 1}} is a/b


def pack(record: Mapping[str, Any]) -> bytes:
    """Return `record` as bytes that :func:`unpack` restores exactly, arrays with dtype and shape.

    Raises
    ------
    CallerError
        If a value is neither an array of numbers, a record, nor finite JSON.
    """
    return b"".join(pieces(record))


def pieces(record: Mapping[str, Any]) -> list[bytes | memoryview]:
    """Return what :func:`pack` joins: the header, then the bytes of each array where they lie, as safetensors has it."""
    arrays, rest = split(normal(record))
    names = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    told = tuple((name, DTYPES[arrays[name].dtype.str[1:]], arrays[name].shape, arrays[name].nbytes) for name in names)
    json_ = canonical_json(rest)
    header = _known_header(json_, told) if len(json_) < KNOWN_JSON_MAX else _header(json_, told)
    return [header, *(bytes_of(arrays[name]) for name in names)]


def _header(rest: str, arrays: tuple[tuple[str, str, tuple[int, ...], int], ...]) -> bytes:
    """Return the header of arrays (name, dtype, shape, bytes) and JSON."""
    header: dict[str, Any] = {"__metadata__": {"json": rest}}
    end = 0
    for name, dtype, shape, size in arrays:
        begin, end = end, end + size
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    encoded = _CANONICAL.encode(header).encode()
    encoded += b" " * (-(LENGTH_BYTES + len(encoded)) % ALIGNMENT)
    return len(encoded).to_bytes(LENGTH_BYTES, "little") + encoded


_known_header = lru_cache(maxsize=64)(_header)  # the same few come every round


def bytes_of(array: Array) -> memoryview:
    """Return the little-endian C-order bytes of `array`, without a copy where they lie so already."""
    little = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
    return little.reshape(-1).view(np.uint8).data


def normal(record: Mapping[str, Any]) -> Record:
    """Return `record` exactly as ``unpack(pack(record))`` would: what a program goes on with, here and on any other machine.

    Arrays become C-ordered in native byte order, NumPy scalars Python's numbers, tuples lists. Nothing else changes.

    Raises
    ------
    CallerError
        If a value is neither an array of numbers, a record, nor finite JSON.

    >>> normal({"n": np.int64(3), "pair": (1, 2)})
    {'n': 3, 'pair': [1, 2]}
    """
    return {_name(name): _normal(name, value) for name, value in record.items()}


def _name(name: Any) -> str:
    if not isinstance(name, str) or SEPARATOR in name:
        raise CallerError(f"the names in a record are text without {SEPARATOR!r}, not {name!r}")
    return name


def _normal(path: str, value: Any) -> Any:
    match value:
        case np.ndarray():
            if value.dtype.kind not in "biuf" or value.dtype.itemsize > ITEM_BYTES_MAX:
                raise CallerError(f"array {path!r} has dtype {value.dtype}; a record holds bool, int and float arrays")
            native = np.asarray(value, dtype=value.dtype.newbyteorder("="))
            return np.ascontiguousarray(native).reshape(value.shape)
        case np.generic():
            return _normal(path, value.item())
        case None | bool() | str():
            return value
        case int():
            return int(value)
        case float():
            if not math.isfinite(value):
                raise CallerError(f"{path!r} is {value}: a record's plain numbers are finite; keep it in an array")
            return float(value)
        case dict():
            return {_name(name): _normal(f"{path}{SEPARATOR}{name}", part) for name, part in value.items()}
        case list() | tuple():
            if PLAIN.issuperset(map(type, value)):
                return list(value)  # most lists are long ones of names: in every round's state, too
            if any(isinstance(part, np.ndarray) for part in value):
                raise CallerError(f"{path!r} is a list of arrays: a record holds arrays by name")
            return [_normal(path, part) for part in value]
        case _:
            raise CallerError(f"{path!r} is a {type(value).__name__}: a record holds arrays, numbers, text, lists and records")


def unpack(data: bytes | bytearray | memoryview) -> Record:
    """Return the record that :func:`pack` wrote, its arrays its own.

    Raises
    ------
    PeerError
        If `data` is anything else.
    """
    data = bytearray(data)
    try:
        size = int.from_bytes(data[:LENGTH_BYTES], "little")
        header = json.loads(bytes(data[LENGTH_BYTES : LENGTH_BYTES + size]))
        record: Record = nested(json.loads(header.pop("__metadata__")["json"]))
        begin = LENGTH_BYTES + size
        for path, told in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            dtype, shape, (first, last) = np.dtype("<" + TYPES[told["dtype"]]), told["shape"], told["data_offsets"]
            count = math.prod(shape)
            if not all(type(length) is int and length >= 0 for length in shape) or last - first != count * dtype.itemsize:
                raise ValueError(f"array {path!r} of shape {shape} has {last - first} bytes")
            if first != begin - LENGTH_BYTES - size or begin + last - first > len(data):
                raise ValueError(f"array {path!r} does not lie where the one before it ends")
            array = np.frombuffer(data, dtype, count, begin) if count else np.empty(0, dtype)
            insert(record, path, array.astype(dtype.newbyteorder("="), copy=False).reshape(shape))
            begin += last - first
        if begin != len(data):
            raise ValueError(f"{len(data) - begin} bytes after the last array")
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError, RecursionError) as error:
        raise PeerError(f"{len(data)} bytes are not a packed record: {error}") from error
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
        text = _CANONICAL.encode(value)
        text.encode()
        return text
    except (TypeError, ValueError) as error:
        raise CallerError(f"{value!r:.200} is not finite JSON: {error}") from error
