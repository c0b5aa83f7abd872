"""TLS between machines: which files prove who one is, and which addresses need them.

Every plane uses the same three files, and both ends of every connection show a certificate that the authority signed.
"""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from muskox.errors import CallerError

VARIABLES = ("MUSKOX_TLS_CERT", "MUSKOX_TLS_KEY", "MUSKOX_TLS_CA")


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: our certificate, its private key, and the authority that signed every member's certificate."""

    certificate: Path
    key: Path
    authority: Path


def make_tls(certificate: Path | None, key: Path | None, authority: Path | None) -> Tls | None:
    """Return the three files, or None if none is named.

    Raises
    ------
    CallerError
        If only some are named, or one cannot be read.
    """
    named = [path for path in (certificate, key, authority) if path is not None]
    if not named:
        return None
    if certificate is None or key is None or authority is None:
        raise CallerError("TLS needs all three: a certificate, its key and the authority (--tls-cert, --tls-key, --tls-ca)")
    for path in named:
        if not os.access(path, os.R_OK):
            raise CallerError(f"cannot read {path}, which TLS needs")
    return Tls(certificate, key, authority)


def tls_from_environment() -> Tls | None:
    """Return what MUSKOX_TLS_CERT, MUSKOX_TLS_KEY and MUSKOX_TLS_CA name."""
    certificate, key, authority = (Path(os.environ[name]) if os.environ.get(name) else None for name in VARIABLES)
    return make_tls(certificate, key, authority)


def is_loopback(host: str) -> bool:
    """Return whether `host` can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("127.0.0.3"), is_loopback("::1"), is_loopback("10.0.0.1"), is_loopback("zk1")
    (True, True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
