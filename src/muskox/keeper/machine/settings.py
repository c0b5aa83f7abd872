"""What the machine must be told when it starts; see the server's options for what each is called there."""

from typing import NamedTuple


class Settings(NamedTuple):
    """Bounds and rules; times are in milliseconds.

    `bucket_ms` is how finely expiry is looked at. `outstanding_max` writes may be under way before their senders are read from
    no more. A container that never had a child goes after `container_unused_ms_max`; 0 keeps it. `users` are SASL's, with their
    passwords; `nonce_key` is what its challenges are derived from, a secret; whoever fails to prove to be one of them stays if
    `sasl_failures_allowed`. `sasl_super_users`, `x509_super_user` (a subject) and whoever proves `super_digest` may do
    everything. `x509` tells whether client certificates are looked at. If `schemes_required` are any, a connection that has
    proved nothing of them is answered nothing else.
    """

    timeout_ms_min: int = 4_000
    timeout_ms_max: int = 40_000
    bucket_ms: int = 200
    outstanding_max: int = 1_000
    enforce_quota: bool = False
    extended_types: bool = False
    container_check_ms: int = 60_000
    containers_per_minute_max: int = 10_000
    container_unused_ms_max: int = 0
    users: tuple[tuple[str, str], ...] = ()
    sasl_super_users: tuple[str, ...] = ()
    sasl_failures_allowed: bool = False
    nonce_key: bytes = b""
    super_digest: str | None = None
    x509: bool = False
    x509_super_user: str | None = None
    schemes_required: tuple[str, ...] = ()
