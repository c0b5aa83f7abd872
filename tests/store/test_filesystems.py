"""A URL opens what it names, or it is said what is wrong with it; no secret is in one, and none is shown."""

from pathlib import Path

import pytest

from muskox.errors import CallerError, Unavailable
from muskox.store.objects.filesystems import Patience, find_refusal, open_place

WRONG = [
    ("data/flights", r"is no URL: write file:///.*/data/flights"),
    ("", "is no URL"),
    ("file://data/flights", "three slashes"),
    ("s3://", "there is no bucket"),
    ("s3:///prefix", "there is no bucket"),
    ("s3://bucket?zone=1", "'zone' is no setting of an s3 URL: there are endpoint_override, scheme, region"),
    ("bogus://x", "cannot open bogus://x: Protocol not known: bogus: correct the scheme"),
]
SECRET = [
    "s3://AKIA:hunter2@bucket/prefix",
    "s3://hunter2@bucket/prefix",
    "s3://bucket?secret_key=hunter2",
    "s3://bucket?access_key=hunter2",
    "hdfs://user:hunter2@host/x",
    "abfs://container@account/x?account_key=hunter2",
    "memory://x?token=hunter2",
    "https://user:hunter2@host/x",
]


@pytest.mark.parametrize(("url", "message"), WRONG, ids=[url or "empty" for url, _ in WRONG])
def test_what_is_wrong_with_a_url_is_said(url: str, message: str) -> None:
    with pytest.raises(CallerError, match=message):
        open_place(url)


@pytest.mark.parametrize("url", SECRET)
def test_a_url_with_a_secret_is_refused_and_the_secret_is_not_repeated(url: str) -> None:
    with pytest.raises(CallerError, match="take it out") as raised:
        open_place(url)
    assert "hunter2" not in str(raised.value)


def test_paths_are_below_the_urls_own_without_its_settings(tmp_path: Path) -> None:
    place = open_place(f"file://{tmp_path}/a%20b/")
    assert place.path("x/y") == f"{tmp_path}/a b/x/y" and place.path("") == f"{tmp_path}/a b"
    place = open_place("s3://bucket/some/prefix/?endpoint_override=http://127.0.0.1:9&region=eu-west-1")
    assert place.path("x") == "bucket/some/prefix/x" and place.shown("x") == "s3://bucket/some/prefix/x"
    assert place.filesystem.region == "eu-west-1"
    assert open_place("memory://a/b").path("x") == "/a/b/x"


def test_endpoint_and_region_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert open_place("s3://bucket").filesystem.region == "us-east-1"
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert open_place("s3://bucket").filesystem.region == "eu-north-1"


def test_what_needs_a_library_that_is_not_there_says_so() -> None:
    try:
        open_place("hdfs://127.0.0.1:9/x", Patience())
    except (CallerError, Unavailable) as error:
        assert str(error).startswith("cannot open hdfs://127.0.0.1:9/x: ")
    else:
        pytest.fail("nobody listens there")


def test_only_what_no_later_attempt_will_change_is_a_refusal() -> None:
    assert find_refusal(OSError("AWS Error ACCESS_DENIED during PutObject operation: no")) is not None
    assert find_refusal(OSError("AWS Error SLOW_DOWN during PutObject operation: no")) is None
    assert find_refusal(None) is None
