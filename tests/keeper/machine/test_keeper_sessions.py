"""Sessions: expiry in buckets, and the password that Apache derives."""

from muskox.keeper.machine.sessions import Sessions, is_password, password_of


def test_the_password_of_a_session_is_the_one_that_apache_derives() -> None:
    # Apache 3.8.0 resumed this very session; see test_apache_files.
    assert password_of(9567580306997248) == b"\xc3@.\xfa\x94\xf69\xae\xd9\xc0\xa7\x92\xfdZ^\xb4"


def test_no_password_opens_session_zero() -> None:
    assert not is_password(0, password_of(0))
    assert not is_password(5, None)
    assert is_password(5, password_of(5))


def test_a_session_expires_after_its_timeout_and_at_most_a_bucket_later() -> None:
    sessions = Sessions(bucket_ms=100)
    for start in range(0, 250, 7):
        sessions.track(start, 1_000, start)
        assert start not in sessions.expired(start + 1_000)
        assert start in sessions.expired(start + 1_100)


def test_a_touch_keeps_a_session_alive_and_leaves_no_empty_bucket() -> None:
    sessions = Sessions(bucket_ms=100)
    sessions.track(1, 1_000, 0)
    for now_ms in range(0, 10_000, 50):
        assert sessions.touch(1, 1_000, now_ms)
        assert sessions.expired(now_ms) == []
    assert len(sessions.buckets) == 1
    sessions.forget(1)
    assert not sessions.touch(1, 1_000, 10_000)
    assert sessions.buckets == {}


def test_the_longest_overdue_expires_first() -> None:
    sessions = Sessions(bucket_ms=10)
    for session_id, timeout_ms in [(1, 300), (2, 100), (3, 200)]:
        sessions.track(session_id, timeout_ms, 0)
    assert sessions.expired(1_000) == [2, 3, 1]
