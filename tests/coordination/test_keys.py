"""The secret stays in a file that only its owner reads, and each plane gets a key of its own."""

import hashlib
import hmac
from pathlib import Path

import pytest

from muskox.coordination import Plane, derive, make_secret, read_secret
from muskox.errors import CallerError

SECRET = "0123456789abcdef" * 4


def test_a_new_secret_is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = make_secret(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(secret) == 64
    assert make_secret(path) == read_secret(path) == secret


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    make_secret(path)
    path.chmod(mode)
    with pytest.raises(CallerError, match="is readable by others: run chmod 600"):
        read_secret(path)


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"", "has 0 characters"), (b"short\n", "has 5 characters"), (b"\xff" * 64, "cannot read")]
)
def test_what_is_no_secret_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(CallerError, match=complaint):
        read_secret(path)


def test_a_missing_secret_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="copy it from the folder of `muskox up`"):
        read_secret(tmp_path / "secret")


def test_every_plane_has_its_own_key_and_none_is_the_secret() -> None:
    keys = [derive(SECRET.encode(), plane) for plane in Plane]
    assert len({*keys, SECRET.encode()}) == len(Plane) + 1
    assert {len(key) for key in keys} == {32}


def test_derivation_is_hkdf() -> None:
    """RFC 5869, section 2: extract with the salt, then the first 32 bytes of expand."""
    for plane in Plane:
        extracted = hmac.new(b"muskox/1", SECRET.encode(), hashlib.sha256).digest()
        assert derive(SECRET.encode(), plane) == hmac.new(extracted, plane.value.encode() + b"\x01", hashlib.sha256).digest()


def test_golden_keys() -> None:
    assert {plane.name: derive(SECRET.encode(), plane).hex()[:16] for plane in Plane} == {
        "COORDINATION": "47089033c0eac1a7",
        "FLIGHT": "b2aa2e73d69b3869",
        "COLLECTIVE": "94399df54520850e",
        "SERVE": "c73705154b71f6e9",
    }
