"""A node's room: nobody gets what another has, who waits is told once, a GPU belongs to one worker."""

from muskox.runtime.planning.places import Amount
from muskox.runtime.room import Room


def test_a_place_is_free_again_when_its_process_is_gone_and_who_waits_is_told_once() -> None:
    room, told = Room(Amount(2000, 10, 0), []), []

    def tell() -> None:
        told.append(1)

    assert room.take("a", Amount(1500, 0, 0), tell) == []
    assert room.take("b", Amount(1000, 0, 0), tell) is None and room.take("b", Amount(1000, 0, 0), tell) is None
    assert room.take("c", Amount(500, 11, 0), tell) is None
    room.give_back("a")
    room.give_back("a")
    assert told == [1]
    assert room.take("b", Amount(2000, 10, 0), tell) == []


def test_a_gpu_belongs_to_one_worker_until_that_is_gone() -> None:
    room = Room(Amount(9000, 10, 3), ["0", "1", "GPU-8932f937"])
    assert room.gpus == 3
    assert room.take("a", Amount(1, 0, 2), list) == ["0", "1"]
    assert room.take("b", Amount(1, 0, 1), list) == ["GPU-8932f937"]
    assert room.take("c", Amount(1, 0, 0), list) == []
    assert room.take("d", Amount(1, 0, 1), list) is None
    room.give_back("a")
    assert room.take("d", Amount(1, 0, 2), list) == ["0", "1"]
