"""The cluster's secret and the keys derived from it: one key a plane, so that no plane ever sees the secret itself.

Derivation is HKDF-SHA256 (RFC 5869) with the plane's name as info. The secret lies in a file of mode 0600.
"""

import contextlib
import hmac
import os
import secrets
from enum import Enum
from pathlib import Path

from muskox.errors import CallerError

SECRET_BYTES = 32
SALT = b"muskox/1"


class Plane(Enum):
    """Each plane uses its own key."""

    COORDINATION = "coordination"
    FLIGHT = "flight"
    COLLECTIVE = "collective"
    SERVE = "serve"


def derive(secret: bytes, plane: Plane) -> bytes:
    """Return the 32-byte key of `plane` (RFC 5869, extract then one block of expand)."""
    extracted = hmac.digest(SALT, secret, "sha256")
    return hmac.digest(extracted, plane.value.encode() + b"\x01", "sha256")


def make_secret(path: Path) -> bytes:
    """Write a new random secret to `path` with mode 0600, unless one is there, and return the one there."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # who links first has made it, whole
            os.link(draft, path)
        draft.unlink()
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """Return the secret in `path`.

    Raises
    ------
    CallerError
        If it is missing, short, or readable by others.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CallerError(f"cannot read the cluster secret {path}: {error}; copy it from the folder of `muskox up`") from error
    if mode & 0o077:
        raise CallerError(f"the cluster secret {path} is readable by others: run chmod 600 {path}")
    if len(text) < SECRET_BYTES:
        raise CallerError(f"the cluster secret {path} has {len(text)} characters; it needs at least {SECRET_BYTES}")
    return text.encode()
