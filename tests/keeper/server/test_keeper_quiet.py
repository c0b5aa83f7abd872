"""A lone write is synced in the event loop only while one connection alone is heard of and the disk is fast."""

from muskox.keeper.server.quiet import ALONE_SECONDS_MIN, SYNC_SECONDS_MAX, Quiet

LATER = 10 * ALONE_SECONDS_MIN


def fast_disk() -> Quiet:
    quiet = Quiet()
    for _ in range(20):
        quiet.synced(SYNC_SECONDS_MAX / 10)
    return quiet


def test_one_connection_alone_is_quiet_after_a_while() -> None:
    quiet = fast_disk()
    quiet.heard(1, 100.0)
    assert not quiet.is_quiet(100.0)
    quiet.heard(1, 100.0 + LATER)
    assert quiet.is_quiet(100.0 + LATER)


def test_two_connections_are_not_quiet() -> None:
    quiet = fast_disk()
    for step in range(10):
        quiet.heard(step % 2 + 1, 100.0 + step * LATER)
        assert not quiet.is_quiet(100.0 + step * LATER)


def test_a_slow_disk_is_not_waited_for() -> None:
    quiet = fast_disk()
    quiet.heard(1, 100.0)
    quiet.synced(1.0)
    assert not quiet.is_quiet(200.0)
    for _ in range(40):
        quiet.synced(0.0)
    assert quiet.is_quiet(200.0)


def test_a_disk_that_nobody_knows_yet_is_not_waited_for() -> None:
    assert not Quiet().is_quiet(100.0)
