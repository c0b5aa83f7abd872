"""The endpoint's socket and key; that it serves over a real port is shown by tests/cli and the demo."""

import pytest

from muskox.errors import Unavailable
from muskox.serve import bind, endpoint_key


def test_a_port_in_use_is_one_sentence() -> None:
    with bind("127.0.0.1", 0) as first:
        with pytest.raises(Unavailable, match=r"cannot listen on 127\.0\.0\.1:\d+: .*in use; choose another --port"):
            bind("127.0.0.1", first.getsockname()[1])


def test_each_model_and_each_cluster_has_a_key_of_its_own() -> None:
    keys = {endpoint_key(secret, name) for secret in (b"a" * 32, b"b" * 32) for name in ("late", "later")}
    assert len(keys) == 4 and endpoint_key(b"a" * 32, "late") in keys
