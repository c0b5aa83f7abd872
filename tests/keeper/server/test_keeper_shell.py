"""The shell's own bounds, as clients meet them."""

import socket
import time

from apache import four_letters
from raw import RawClient, request

from muskox.keeper import Keeper
from muskox.keeper.server.shell import ANSWER_BYTES_MAX
from muskox.keeper.wire.opcodes import OpCode
from muskox.keeper.wire.records import PathWatch

SECONDS_MAX = 20.0
PATH_BYTES = 10_000
UNDER_WAY_BYTES = 8 << 20  # what the two ends' sockets may hold of an answer


def test_answers_that_nobody_reads_are_bounded_and_then_others_wait(own_keeper: Keeper) -> None:
    with RawClient(own_keeper.port) as client:
        client.connect()
        for index in range((ANSWER_BYTES_MAX + UNDER_WAY_BYTES) // PATH_BYTES):
            path = f"/{index:0{PATH_BYTES}}"
            client.send(request(index, OpCode.EXISTS, PathWatch(path, True)))
            assert client.receive() is not None
        with socket.socket() as greedy:
            greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            greedy.settimeout(SECONDS_MAX)
            greedy.connect(("127.0.0.1", own_keeper.port))
            greedy.sendall(b"wchp")
            assert greedy.recv(2) == b"/0"  # its answer has begun to come
            assert four_letters(own_keeper.port, "wchp", SECONDS_MAX) == ""
            assert four_letters(own_keeper.port, "ruok", SECONDS_MAX) == ""
        deadline = time.monotonic() + SECONDS_MAX
        while four_letters(own_keeper.port, "ruok", SECONDS_MAX) != "imok":  # it is noticed soon that nobody will read
            assert time.monotonic() < deadline
        assert client.exists("/").err == 0
