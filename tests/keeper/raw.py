"""A ZooKeeper client of bare frames, to say what no polite client says and to see every byte of an answer."""

import os
import socket
from pathlib import Path
from typing import Any, NamedTuple

from muskox.keeper.wire.frames import frame
from muskox.keeper.wire.jute import LENGTH, encode
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import (
    REPLY_HEADER,
    REQUEST_HEADER,
    Acl,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    Id,
    PathVersion,
    PathWatch,
    RequestHeader,
    SetDataRequest,
    codec,
)

OPEN = (Acl(31, Id("world", "anyone")),)
SECONDS_MAX = 10.0


class Reply(NamedTuple):
    xid: int
    zxid: int
    err: int
    body: bytes


def request(xid: int, kind: int, record: tuple[Any, ...] | bytes = b"") -> bytes:
    """Return a whole frame."""
    body = record if isinstance(record, bytes) else encode(record)
    return frame(REQUEST_HEADER.encode(RequestHeader(xid, kind)) + body)


def connect_request(session_id: int = 0, password: bytes = bytes(16), timeout_ms: int = 10_000, last_zxid: int = 0) -> bytes:
    return frame(encode(ConnectRequest(0, last_zxid, timeout_ms, session_id, password)) + b"\0")


def resident_bytes(pid: int) -> int:
    """Return how much memory a process takes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class RawClient:
    """One connection. `receive_frame` gives None when the server has closed it."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), SECONDS_MAX)
        self.file = self.sock.makefile("rb")
        self.session_id = 0
        self.password = b""
        self.xid = 0

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.sock.close()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive_frame(self) -> bytes | None:
        try:
            head = self.file.read(4)
            if len(head) < 4:
                return None
            (size,) = LENGTH.unpack(head)
            return self.file.read(size)
        except ConnectionResetError:
            return None

    def receive(self) -> Reply | None:
        data = self.receive_frame()
        if data is None:
            return None
        header, at = REPLY_HEADER.decode_from(data)
        return Reply(*header, data[at:])

    def connect(self, **how: Any) -> tuple[ConnectResponse, int] | None:
        """Open or resume a session; return the response and its size, or None if the server closed."""
        self.send(connect_request(**how))
        data = self.receive_frame()
        if data is None:
            return None
        response = codec(ConnectResponse).decode(data)
        self.session_id, self.password = response.session_id, response.password or b""
        return response, len(data)

    def ask(self, kind: int, record: tuple[Any, ...] | bytes = b"") -> list[Reply]:
        """Send one request and return all that comes up to its reply: watch events first."""
        self.xid += 1
        self.send(request(self.xid, kind, record))
        replies: list[Reply] = []
        while not replies or replies[-1].xid == -1:
            reply = self.receive()
            if reply is None:
                return replies
            replies.append(reply)
        return replies

    def create(self, path: str, data: bytes = b"", flags: int = 0) -> Reply:
        return self.ask(OpCode.CREATE, CreateRequest(path, data, OPEN, flags))[-1]

    def set(self, path: str, data: bytes, version: int = -1) -> Reply:
        return self.ask(OpCode.SET_DATA, SetDataRequest(path, data, version))[-1]

    def get(self, path: str, watch: bool = False) -> Reply:
        return self.ask(OpCode.GET_DATA, PathWatch(path, watch))[-1]

    def exists(self, path: str, watch: bool = False) -> Reply:
        return self.ask(OpCode.EXISTS, PathWatch(path, watch))[-1]

    def delete(self, path: str, version: int = -1) -> Reply:
        return self.ask(OpCode.DELETE, PathVersion(path, version))[-1]
