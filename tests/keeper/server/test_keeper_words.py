"""Four letters: which are answered, what is said while nothing is served, and what cannot be compared with Apache's."""

import socket
import struct
from pathlib import Path

import pytest
from operators import lived_in

from muskox.keeper import Keeper
from muskox.keeper.server.words import WORDS, answer, is_word

ASKER = 9
SECONDS_MAX = 20.0


@pytest.mark.parametrize("word", sorted(WORDS))
def test_every_word_is_answered_in_text(tmp_path: Path, word: str) -> None:
    _, status = lived_in(tmp_path)
    assert is_word(word)
    told = answer(word, b"", status, ASKER)
    assert told or word == "hash"
    assert told.endswith("\n") or word in ("ruok", "isro", "gtmk", "hash")


def test_only_words_of_the_whitelist_are_answered_and_srvr(tmp_path: Path) -> None:
    _, status = lived_in(tmp_path, words=("ruok",))
    assert answer("ruok", b"", status, ASKER) == "imok"
    assert answer("srvr", b"", status, ASKER).startswith("Zookeeper version: 3.8.0-")
    for word in sorted(WORDS.keys() - {"ruok", "srvr"} | {"stmk"}):
        assert answer(word, b"", status, ASKER) == f"{word} is not executed because it is not in the whitelist.\n"
    assert not is_word("xxxx")


def test_a_server_that_stops_says_that_it_does_not_serve(tmp_path: Path) -> None:
    _, status = lived_in(tmp_path)
    status.is_serving = False
    assert answer("ruok", b"", status, ASKER) == "imok"
    assert answer("isro", b"", status, ASKER) == "null"
    assert answer("envi", b"", status, ASKER).startswith("Environment:\n")
    for word in ("stat", "srvr", "mntr", "cons", "dump", "wchs", "crst"):
        assert answer(word, b"", status, ASKER) == "This ZooKeeper instance is not currently serving requests\n"


def test_the_trace_mask_is_kept_though_nothing_is_traced(tmp_path: Path) -> None:
    _, status = lived_in(tmp_path)
    assert answer("stmk", struct.pack(">q", -5), status, ASKER) == "-5"
    assert answer("gtmk", b"", status, ASKER) == "-5"
    assert answer("stmk", b"short", status, ASKER) == ""


def test_the_environment_fits_into_one_read_and_leaves_at_once(shared_keeper: Keeper) -> None:
    with socket.create_connection(("127.0.0.1", shared_keeper.port), SECONDS_MAX) as sock:
        sock.sendall(b"envi")
        first = sock.recv(8192)
        assert b"".join(iter(lambda: sock.recv(8192), b"")) == b""
    assert first.startswith(b"Environment:\nzookeeper.version=3.8.0-")
    assert first.endswith(b"\n")


def test_letters_may_come_one_by_one(shared_keeper: Keeper) -> None:
    with socket.create_connection(("127.0.0.1", shared_keeper.port), SECONDS_MAX) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for letter in (b"r", b"u", b"o", b"k"):
            sock.sendall(letter)
        assert b"".join(iter(lambda: sock.recv(8192), b"")) == b"imok"


def test_an_unknown_word_is_a_length_and_too_long_a_one(shared_keeper: Keeper) -> None:
    with socket.create_connection(("127.0.0.1", shared_keeper.port), SECONDS_MAX) as sock:
        sock.sendall(b"xxxx")
        assert sock.recv(10) == b""
