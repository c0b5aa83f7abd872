"""Bounds of connections: by address, in all, none; and that what leaves makes room."""

import socket
import time
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from raw import RawClient, connect_request

from muskox.keeper import Keeper
from muskox.keeper.server.admission import Admission

SECONDS_MAX = 10.0


def test_one_address_is_bounded_and_another_is_not() -> None:
    admission = Admission(per_address_max=2, total_max=0)
    assert [admission.admit("10.0.0.1") for _ in range(2)] == [None, None]
    reason = admission.admit("10.0.0.1")
    assert reason is not None and "10.0.0.1" in reason and "has 2" in reason and "maxClientCnxns" in reason
    assert admission.admit("10.0.0.2") is None
    admission.left("10.0.0.1")
    assert admission.admit("10.0.0.1") is None
    assert admission.total == 3


def test_all_together_are_bounded() -> None:
    admission = Admission(per_address_max=0, total_max=3)
    assert [admission.admit(f"10.0.0.{index}") for index in range(3)] == [None] * 3
    reason = admission.admit("10.0.0.9")
    assert reason is not None and "3 of 3" in reason and "maxCnxns" in reason
    admission.left("10.0.0.0")
    assert admission.admit("10.0.0.9") is None


@given(st.integers(0, 3), st.integers(0, 5), st.lists(st.tuples(st.booleans(), st.sampled_from("abc")), max_size=40))
def test_counts_agree_with_who_is_there(per_address_max: int, total_max: int, steps: list[tuple[bool, str]]) -> None:
    admission = Admission(per_address_max, total_max)
    there: Counter[str] = Counter()
    for comes, address in steps:
        if comes:
            full = bool((total_max and there.total() >= total_max) or (per_address_max and there[address] >= per_address_max))
            assert (admission.admit(address) is not None) == full
            there[address] += not full
        elif there[address]:
            admission.left(address)
            there[address] -= 1
        assert admission.total == there.total()
        assert admission.by_address == +there, "addresses without connections are forgotten"


def is_cut_off(sock: socket.socket) -> bool:
    """Whether the server closed or reset a connection without saying anything."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_server_refuses_the_connection_that_is_one_too_many_and_says_so() -> None:
    with Keeper(max_client_connections=2) as keeper:
        with RawClient(keeper.port) as first, RawClient(keeper.port) as second:
            first.connect()
            second.connect()
            with socket.create_connection(("127.0.0.1", keeper.port), 10) as third:
                assert is_cut_off(third)
            assert first.exists("/").err == second.exists("/").err == 0
            said = (keeper.data_dir / "keeper.out").read_text()
            assert "a connection from 127.0.0.1 is refused" in said
            second.close()
            deadline = time.monotonic() + SECONDS_MAX
            while not can_connect(keeper.port):  # the server learns of the end of the second only after a moment
                assert time.monotonic() < deadline


def can_connect(port: int) -> bool:
    with RawClient(port) as client:
        try:
            client.send(connect_request())
            return client.receive_frame() is not None
        except ConnectionError:
            return False


def test_all_clients_together_are_bounded_by_a_flag() -> None:
    with Keeper(max_connections=1) as keeper, RawClient(keeper.port) as first:
        first.connect()
        assert not can_connect(keeper.port)
        assert "1 of 1 are open" in (keeper.data_dir / "keeper.out").read_text()
