"""Pieces of finished results: committed under the generation's fence, in place of what they absorb, read back by a new root."""

import threading
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from one_node_store import Stores

from muskox.coordination import Config, Session, layout, register
from muskox.errors import Unavailable
from muskox.keeper import Keeper
from muskox.runtime.tasks import pieces
from muskox.runtime.tasks.messages import Piece, PieceRead, PieceWritten
from muskox.runtime.tasks.pieces import TaskPieces
from muskox.store import NodeHome

BOUND_S = 20.0
GENERATION = 2


@pytest.fixture
def session(keeper: Keeper) -> Iterator[Session]:
    with Session(f"zk://{keeper.hosts}/pieces-{uuid.uuid4().hex}", b"s" * 64).connect() as session:
        ann = layout.MemberRecord(name="ann", folder_id="f", incarnation="i", address="a:1", pid=1, cores=1, fingerprint="")
        register(session, ann)
        session.create(layout.job("j"), layout.JobRecord(kind="k", program="p", program_nodes=[], dataset="d@1"))
        session.create(layout.generation("j"), layout.GenerationRecord(number=0))
        for number in range(1, GENERATION + 1):
            session.set(layout.generation("j"), layout.GenerationRecord(number=number))
        yield session


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def kept(session: Session, stores: Stores) -> TaskPieces:
    config = Config(layout.ConfigRecord())
    home = NodeHome(session, stores)  # type: ignore[arg-type]
    return TaskPieces(SimpleNamespace(session=session, home=home, name="ann", config=lambda: config), "j")  # type: ignore[arg-type]


def write(kept: TaskPieces, number: int, absorbs: list[int], body: bytes, generation: int = GENERATION) -> bool:
    answers: list[Any] = []
    is_answered = threading.Event()

    def answer(message: Any, _: bytes) -> None:
        answers.append(message)
        is_answered.set()

    kept.keep(Piece(generation, number, absorbs), body, answer)
    assert is_answered.wait(BOUND_S)
    assert answers == [PieceWritten(number, answers[0].is_kept)]
    return bool(answers[0].is_kept)


def read(kept: TaskPieces) -> list[tuple[PieceRead, bytes]]:
    found: list[Any] = []
    kept.read(GENERATION, lambda message, body: found.append((message, body)))
    return found


def test_a_new_root_is_told_when_nothing_is_durable_yet(kept: TaskPieces) -> None:
    assert read(kept) == [(PieceRead(GENERATION, 0, 0), b"")]


def test_pieces_are_read_back_in_order_and_absorbed_ones_are_gone(kept: TaskPieces, stores: Stores) -> None:
    assert all(write(kept, number, [], b"%d" % number) for number in (1, 2, 10))
    assert read(kept) == [(PieceRead(GENERATION, n, left), b"%d" % n) for n, left in ((1, 2), (2, 1), (10, 0))]
    assert write(kept, 11, [10, 2], b"both")
    assert read(kept) == [(PieceRead(GENERATION, 1, 1), b"1"), (PieceRead(GENERATION, 11, 0), b"both")]
    assert len(stores.blobs) == 2


def test_a_worker_that_was_put_out_changes_nothing(kept: TaskPieces, session: Session) -> None:
    assert write(kept, 1, [], b"first")
    assert not write(kept, 2, [1], b"late", generation=GENERATION - 1)
    assert read(kept) == [(PieceRead(GENERATION, 1, 0), b"first")]


def test_the_last_piece_is_there_when_keep_returns(kept: TaskPieces) -> None:
    kept.keep(Piece(GENERATION, 1, []), b"first", lambda *_: None, is_last=True)
    assert read(kept) == [(PieceRead(GENERATION, 1, 0), b"first")]


def test_a_full_disk_is_told_and_nothing_is_lost(kept: TaskPieces, stores: Stores) -> None:
    assert write(kept, 1, [], b"first")

    def full() -> None:
        raise Unavailable("the disk is full")

    stores.on_put = full
    assert not write(kept, 2, [1], b"more")
    assert read(kept) == [(PieceRead(GENERATION, 1, 0), b"first")]


def test_a_piece_that_cannot_be_had_is_waited_for_and_then_given_up(
    kept: TaskPieces, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(kept, 1, [], b"first")
    write(kept, 2, [], b"second")
    stores.blobs = {digest: blob for digest, blob in stores.blobs.items() if blob.endswith(b"second")}
    with pytest.raises(Unavailable, match="piece 1 of the results cannot be had"):
        read(kept)
    monkeypatch.setattr(pieces, "RESTORE_S_MAX", 0.0)
    assert read(kept) == [(PieceRead(GENERATION, 1, 1), b""), (PieceRead(GENERATION, 2, 0), b"second")]


def test_while_a_piece_is_waited_for_those_before_it_are_handed_over_once(kept: TaskPieces, stores: Stores) -> None:
    assert all(write(kept, number, [], b"%d" % number) for number in (1, 2, 3))
    away = {digest: blob for digest, blob in stores.blobs.items() if blob.endswith(b"2")}
    stores.blobs = {digest: blob for digest, blob in stores.blobs.items() if digest not in away}
    found: list[Any] = []
    for _ in range(5):
        with pytest.raises(Unavailable, match="piece 2 of the results cannot be had"):
            kept.read(GENERATION, lambda message, body: found.append((message, body)))
    assert found == [(PieceRead(GENERATION, 1, 2), b"1")]
    stores.blobs |= away
    assert read(kept) == [(PieceRead(GENERATION, 2, 1), b"2"), (PieceRead(GENERATION, 3, 0), b"3")]
    assert len(read(kept)) == 3, "whoever asks anew gets all"


def test_a_root_of_another_generation_is_given_what_the_last_one_had_already(kept: TaskPieces, stores: Stores) -> None:
    assert all(write(kept, number, [], b"%d" % number) for number in (1, 2))
    away = {digest: blob for digest, blob in stores.blobs.items() if blob.endswith(b"2")}
    stores.blobs = {digest: blob for digest, blob in stores.blobs.items() if digest not in away}
    with pytest.raises(Unavailable):
        read(kept)
    stores.blobs |= away
    found: list[Any] = []
    kept.read(GENERATION + 1, lambda message, body: found.append((message, body)))
    assert found == [(PieceRead(GENERATION + 1, 1, 1), b"1"), (PieceRead(GENERATION + 1, 2, 0), b"2")]
    assert read(kept) == [], "the last one asks too late"


def test_a_job_that_is_over_leaves_no_piece(kept: TaskPieces, session: Session, stores: Stores) -> None:
    session.create(layout.job_state("j"), layout.JobState(phase=layout.JobPhase.RUNNING))
    write(kept, 1, [], b"first")
    write(kept, 2, [], b"second")
    kept.clear()
    assert len(read(kept)) == 2, "it goes on elsewhere"
    session.set(layout.job_state("j"), layout.JobState(phase=layout.JobPhase.CANCELLED))
    kept.clear()
    assert not write(kept, 3, [], b"too late")
    assert (session.children(layout.pieces("j")), stores.blobs) == ([], {})
