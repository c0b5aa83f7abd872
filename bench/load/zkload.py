"""What zkload.c does, for machines without a compiler: the same words, the same JSON, but it takes a core for itself.

    python zkload.py PORT [-c sessions] [-d in flight] [-s seconds] [-n znodes] [-b value bytes] [-p pid] [-e] PHASE...

Phases: fill, getData, setData, create, exists, delete, getChildren, check, watch, close; no mixes.
"""

import argparse
import json
import os
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct

KINDS = {"create": 1, "delete": 2, "exists": 3, "getData": 4, "setData": 5, "getChildren": 8, "fill": 1, "check": 4}
CLOSE_SESSION = -11
NODE_EXISTS = -110
WATCH_ROUNDS = 5
SESSIONS_PER_ADDRESS = 40  # servers allow 60 from one address, by default
SILENCE_SECONDS_MAX = 10.0
HELLO = bytes.fromhex("0000002d" + "00" * 12 + "00009c40" + "00" * 8 + "00000010" + "00" * 17)
OPEN_ACL = bytes.fromhex("000000010000001f00000005") + b"world" + bytes.fromhex("00000006") + b"anyone"
INT = Struct(">i")
REQUEST = Struct(">iii")
REPLY = Struct(">iqi")
ANY_VERSION = b"\xff\xff\xff\xff"


def buffer(data: bytes) -> bytes:
    return INT.pack(len(data)) + data


class Session:
    """One connection, and the requests in flight on it: when each left and what may be wrong with it."""

    def __init__(self, port: int, number: int) -> None:
        own = f"127.0.0.{2 + number // SESSIONS_PER_ADDRESS}"
        self.sock = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS_MAX, (own, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        self.xid = 0
        self.in_flight: deque[tuple[int, float, int]] = deque()  # xid, seconds, index of the znode
        self.notified = 0
        self.created = self.deleted = 0
        self.sock.sendall(HELLO)
        if not self.frames():
            sys.exit("zkload: a session was refused")

    def frames(self) -> list[bytes]:
        """Return the whole frames that have come; waits for some bytes."""
        data = self.sock.recv(1 << 17)
        if not data:
            sys.exit("zkload: the server closed a connection")
        data = self.rest + data
        at, frames = 0, []
        while len(data) - at >= 4:
            (size,) = INT.unpack_from(data, at)
            if len(data) - at - 4 < size:
                break
            frames.append(data[at + 4 : at + 4 + size])
            at += 4 + size
        self.rest = data[at:]
        return frames

    def request(self, kind: int, index: int, body: bytes) -> bytes:
        self.xid += 1
        self.in_flight.append((self.xid, time.perf_counter(), index))
        return REQUEST.pack(8 + len(body), self.xid, kind) + body

    def replies(self, may_exist: bool = False) -> list[tuple[float, int, bytes]]:
        """Return microseconds, znode and frame of each reply that has come."""
        answered = []
        now = time.perf_counter()
        for data in self.frames():
            xid, _, error = REPLY.unpack_from(data)
            if xid == -1:
                self.notified += 1
                continue
            expected, sent, index = self.in_flight.popleft()
            if xid != expected:
                sys.exit(f"zkload: replies are out of order: xid {xid}, expected {expected}")
            if error and not (may_exist and error == NODE_EXISTS):
                sys.exit(f"zkload: a request was refused: error {error}")
            answered.append(((now - sent) * 1e6, index, data))
        return answered

    def wait(self) -> None:
        while self.in_flight:
            self.replies()


class Load:
    """Sessions and what runs on them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        begin = time.perf_counter()
        self.sessions = [Session(options.port, number) for number in range(options.c)]
        self.tell("open", len(self.sessions), time.perf_counter() - begin)
        self.random = random.Random(options.port)

    def tell(self, phase: str, count: int, seconds: float, **more: object) -> None:
        told = {"phase": phase, "count": count, "seconds": seconds, "per_second": count / seconds, **more}
        print(json.dumps(told), flush=True)

    def value(self, index: int) -> bytes:
        return bytes((index * 31 + at * 7) & 0xFF for at in range(self.options.b))

    def body(self, phase: str, number: int, index: int) -> bytes:
        """Return a request's body; a few of them are made beforehand where that is possible."""
        if phase == "getChildren":
            return buffer(b"/") + b"\0"
        name = b"c%07d-%07d" % (number, index) if phase in ("create", "delete") else b"n%07d" % index
        path = buffer(b"/bench/" + name)
        match phase:
            case "create" | "fill":
                return path + buffer(self.value(index)) + OPEN_ACL + bytes(4)
            case "delete":
                return path + ANY_VERSION
            case "setData":
                return path + buffer(self.value(index)) + ANY_VERSION
            case _:
                return path + b"\0"

    def indexes(self, phase: str, number: int) -> Iterator[int]:
        """Yield which znode each request of a session is about."""
        session = self.sessions[number]
        if phase in ("fill", "check"):
            yield from range(number, self.options.n, len(self.sessions))
        elif phase == "delete":
            while session.deleted < session.created:
                session.deleted += 1
                yield session.deleted - 1
        else:
            while True:
                session.created += phase == "create"
                yield session.created - 1 if phase == "create" else self.random.randrange(self.options.n)

    def run(self, phase: str) -> None:
        if phase == "fill":
            first = self.sessions[0]
            body = buffer(b"/bench") + buffer(self.value(0)) + OPEN_ACL + bytes(4)
            first.sock.sendall(first.request(KINDS["create"], 0, body))
            while first.in_flight:
                first.replies(may_exist=True)
        cpu = server_cpu(self.options.p)
        begin = time.perf_counter()
        is_whole = phase in ("fill", "check", "delete")
        is_over = self.until(begin) if not is_whole else lambda: False
        feeds = [self.indexes(phase, number) for number in range(len(self.sessions))]
        taken: list[float] = []
        digest = versions = 0
        for number in range(len(self.sessions)):
            self.more(phase, number, feeds[number])
        after, has_ended = 0, False
        ended, cpu_ended = begin, cpu
        while busy := [session for session in self.sessions if session.in_flight]:
            readable, _, _ = select.select([session.sock for session in busy], [], [], SILENCE_SECONDS_MAX)
            if not readable:
                sys.exit("zkload: nothing came for 10 s")
            for number, session in enumerate(self.sessions):
                if session.sock not in readable:
                    continue
                for microseconds, index, data in session.replies(phase == "fill"):
                    if has_ended:
                        after += 1
                    else:
                        taken.append(microseconds)
                    if phase == "check":
                        digest += fnv(index, data[20 : 20 + self.options.b])
                        versions += INT.unpack_from(data, 20 + self.options.b + 32)[0]
                if not has_ended:
                    self.more(phase, number, feeds[number])
            if not has_ended:
                ended, cpu_ended = time.perf_counter(), server_cpu(self.options.p)
                has_ended = is_over()
        taken.sort()
        quantiles = {name: taken[min(int(len(taken) * q), len(taken) - 1)] for name, q in (("p50_us", 0.5), ("p99_us", 0.99))}
        more: dict[str, object] = {"digest": f"{digest & (1 << 64) - 1:016x}", "versions": versions} if phase == "check" else {}
        if self.options.p:
            more["cpu_us"] = (cpu_ended - cpu) * 1e6 / len(taken)
        self.tell(phase, len(taken), ended - begin, **quantiles, max_us=taken[-1], after=after, **more)

    def more(self, phase: str, number: int, indexes: Iterator[int]) -> None:
        session = self.sessions[number]
        parts = []
        for _ in range(self.options.d - len(session.in_flight)):
            index = next(indexes, None)
            if index is None:
                break
            parts.append(session.request(KINDS[phase], index, self.body(phase, number, index)))
        if parts:
            session.sock.sendall(b"".join(parts))

    def until(self, begin: float) -> Callable[[], bool]:
        if not self.options.e:
            return lambda: time.perf_counter() >= begin + self.options.s
        return lambda: bool(select.select([sys.stdin], [], [], 0)[0]) and not sys.stdin.buffer.read1(1)

    def watch(self) -> None:
        writer = Session(self.options.port, self.options.c)
        took = []
        for _ in range(WATCH_ROUNDS):
            for session in self.sessions:
                session.notified = 0
                bodies = (self.body("getData", 0, index)[:-1] + b"\1" for index in range(self.options.d))
                session.sock.sendall(b"".join(session.request(KINDS["getData"], 0, body) for body in bodies))
                session.wait()
            bodies = (self.body("setData", 0, index) for index in range(self.options.d))
            begin = time.perf_counter()
            writer.sock.sendall(b"".join(writer.request(KINDS["setData"], 0, body) for body in bodies))
            for session in self.sessions:
                while session.notified < self.options.d:
                    session.replies()
            took.append((time.perf_counter() - begin) * 1e3)
            writer.wait()
        count = len(self.sessions) * self.options.d
        print(json.dumps({"phase": "watch", "count": count, "ms": took, "writes": WATCH_ROUNDS * self.options.d}), flush=True)

    def close(self) -> None:
        begin = time.perf_counter()
        for session in self.sessions:
            session.sock.sendall(session.request(CLOSE_SESSION, 0, b""))
            session.wait()
            session.sock.close()
        self.tell("close", len(self.sessions), time.perf_counter() - begin)


def fnv(index: int, value: bytes) -> int:
    """Return what a znode adds to the digest: FNV-1a, begun with its index."""
    digest = 14695981039346656037 ^ index
    for byte in value:
        digest = digest * 1099511628211 & (1 << 64) - 1 ^ byte
    return digest * 1099511628211 & (1 << 64) - 1


def server_cpu(pid: int) -> float:
    """Return the seconds of processor time that the server has taken so far."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-c", type=int, default=8)
    parser.add_argument("-d", type=int, default=64)
    parser.add_argument("-s", type=float, default=3.0)
    parser.add_argument("-n", type=int, default=50_000)
    parser.add_argument("-b", type=int, default=100)
    parser.add_argument("-p", type=int, default=0)
    parser.add_argument("-e", action="store_true")
    parser.add_argument("port", type=int)
    parser.add_argument("phases", nargs="+", choices=[*KINDS, "watch", "close"])
    load = Load(parser.parse_args())
    for phase in load.options.phases:
        if phase in KINDS:
            load.run(phase)
        else:
            {"watch": load.watch, "close": load.close}[phase]()


if __name__ == "__main__":
    main()
