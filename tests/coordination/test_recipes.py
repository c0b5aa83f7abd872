"""Locks, semaphores, barriers and queues for users, and the fence that a lock alone does not give."""

import threading
from collections.abc import Callable

import pytest

from muskox.coordination import Lock, Semaphore, Session, barrier, queue
from muskox.errors import CallerError, Unavailable

BOUND_S = 20.0
Connect = Callable[..., Session]


def test_a_lock_that_is_held_is_unavailable_after_its_timeout(connect: Connect) -> None:
    held, wanted = Lock(connect(), "report"), Lock(connect(), "report")
    with held:
        with pytest.raises(Unavailable, match=r"lock 'report' was not free within 0\.1 s"):
            wanted.acquire(0.1)
        with pytest.raises(CallerError, match="lock 'report' is not held, so it has no fence"):
            _ = wanted.fence
    assert wanted.acquire(BOUND_S) > 0
    wanted.release()


def test_fences_of_a_lock_grow_from_holder_to_holder(connect: Connect) -> None:
    locks = [Lock(connect(), "report") for _ in range(3)]
    fences = []
    for lock in locks * 2:
        fences.append(lock.acquire(BOUND_S))
        assert lock.fence == fences[-1]
        lock.release()
    assert fences == sorted(set(fences))


def test_a_lock_has_one_holder_at_a_time(connect: Connect) -> None:
    inside: list[int] = []
    fences: list[int] = []

    def work(session: Session) -> None:
        lock = Lock(session, "report")
        for _ in range(3):
            with lock:
                inside.append(1)
                fences.append(lock.fence)
                assert len(inside) == 1
                inside.pop()

    threads = [threading.Thread(target=work, args=(connect(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND_S)
    assert len(fences) == 9 and fences == sorted(set(fences))


def test_the_lock_of_an_ended_session_goes_to_the_next_with_a_higher_fence(connect: Connect) -> None:
    first, second = connect(), connect()
    old = Lock(first, "report").acquire(BOUND_S)
    first.close()
    assert Lock(second, "report").acquire(BOUND_S) > old


def test_a_released_lock_has_no_fence(session: Session) -> None:
    with Lock(session, "report") as lock:
        assert lock.fence > 0
    with pytest.raises(CallerError, match="not held"):
        _ = lock.fence


def test_a_semaphore_admits_as_many_as_it_has_leases(connect: Connect) -> None:
    one, two, three = (Semaphore(connect(), "gpu", 2) for _ in range(3))
    fences = [one.acquire(BOUND_S), two.acquire(BOUND_S)]
    with pytest.raises(Unavailable, match="semaphore 'gpu' was not free"):
        three.acquire(0.1)
    one.release()
    fences.append(three.acquire(BOUND_S))
    three.release()
    two.release()
    fences.append(one.acquire(BOUND_S))
    assert fences == sorted(set(fences))


def test_a_recipe_has_a_name_by_the_rule(session: Session) -> None:
    with pytest.raises(CallerError, match="is not valid"):
        Lock(session, "a/b")


def test_a_barrier_stands_until_it_is_removed(connect: Connect) -> None:
    ours, theirs = barrier(connect(), "start"), barrier(connect(), "start")
    ours.create()
    assert not theirs.wait(0.05)
    ours.remove()
    assert theirs.wait(BOUND_S)


def test_all_parties_of_a_barrier_enter_together(connect: Connect) -> None:
    entered: list[int] = []

    def work(session: Session, number: int) -> None:
        both = barrier(session, "step", 2)
        both.enter()
        entered.append(number)
        both.leave()

    threads = [threading.Thread(target=work, args=(connect(), number)) for number in range(2)]
    threads[0].start()
    threads[0].join(0.1)
    assert entered == []
    threads[1].start()
    for thread in threads:
        thread.join(BOUND_S)
    assert sorted(entered) == [0, 1]


def test_an_entry_of_a_queue_survives_its_consumer(connect: Connect) -> None:
    producer, dying, living = connect(), connect(), connect()
    queue(producer, "tasks").put(b"one")
    queue(producer, "tasks").put(b"two")
    assert queue(dying, "tasks").get(timeout=BOUND_S) == b"one"
    dying.close()
    consumer, seen = queue(living, "tasks"), []
    for _ in range(2):
        seen.append(consumer.get(timeout=BOUND_S))
        consumer.consume()
    assert sorted(seen) == [b"one", b"two"]
    assert len(consumer) == 0
