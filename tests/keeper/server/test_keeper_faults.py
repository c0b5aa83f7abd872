"""What may go wrong besides a kill -9: an orderly stop under load, and a frame that no check foresaw."""

import os
import signal
from threading import Thread

from raw import OPEN, RawClient, request

from muskox.keeper import Keeper
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.multi import DONE
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import Acl, ChildrenReply, CreateRequest, Id, MultiHeader, PathWatch

WRITERS = 8
STOPS = 3
ENOUGH = 200  # acknowledged writes before a stop


def write(port: int, name: str, acknowledged: list[str]) -> None:
    """Create nodes one after the other until the server is gone; note what is acknowledged."""
    with RawClient(port) as client:
        client.connect()
        number = 0
        try:
            while True:
                path = f"/{name}-{number}"
                client.send(request(number + 1, OpCode.CREATE, CreateRequest(path, b"x", OPEN, 0)))
                reply = client.receive()
                if reply is None:
                    return
                assert reply.err == 0
                acknowledged.append(path)
                number += 1
        except (ConnectionError, TimeoutError):
            return


def names(port: int) -> set[str]:
    with RawClient(port) as client:
        client.connect()
        client.send(request(1, OpCode.GET_CHILDREN, PathWatch("/", False)))
        reply = client.receive()
        assert reply is not None
        return {f"/{name}" for name in codec(ChildrenReply).decode(reply.body).children}


def test_an_orderly_stop_acknowledges_nothing_that_is_not_on_the_disk() -> None:
    with Keeper() as keeper:
        for stop in range(STOPS):
            acknowledged: list[str] = []
            writers = [Thread(target=write, args=(keeper.port, f"{stop}-{n}", acknowledged)) for n in range(WRITERS)]
            for writer in writers:
                writer.start()
            while len(acknowledged) < ENOUGH:
                writers[0].join(0.01)
            assert keeper.pid is not None
            os.kill(keeper.pid, signal.SIGTERM)
            for writer in writers:
                writer.join()
            keeper.kill()
            keeper.start()
            assert not set(acknowledged) - names(keeper.port)


def test_a_multi_whose_check_fails_unforeseen_leaves_nothing_behind() -> None:
    endless = (Acl(31, Id("ip", "1" * 5000 + ".1.1.1")),)
    parts = [CreateRequest("/phantom", b"", OPEN, 0), CreateRequest("/x", b"", endless, 0)]
    body = b"".join(encode(MultiHeader(OpCode.CREATE, False, -1)) + encode(part) for part in parts) + DONE
    with Keeper() as keeper:
        with RawClient(keeper.port) as client:
            client.connect()
            client.send(request(1, OpCode.MULTI, body))
            assert client.receive() is not None
        with RawClient(keeper.port) as client:
            client.connect()
            client.send(request(1, OpCode.CREATE, CreateRequest("/phantom", b"", OPEN, 0)))
            reply = client.receive()
            assert reply is not None and reply.err == 0, "it is not there yet"
        keeper.kill()
        keeper.start()
        assert "/phantom" in names(keeper.port)
