"""What the machine is told, from what the server was told."""

from secrets import token_bytes

from muskox.errors import CallerError
from muskox.keeper.machine.settings import Settings
from muskox.keeper.server.options import Options
from muskox.keeper.server.users import Users, find_exposure, read_users

NONCE_KEY_BYTES = 32
SASL = "sasl"


def settings_of(options: Options) -> tuple[Settings, list[str]]:
    """Return the machine's settings, and sentences for whoever runs the server.

    Raises
    ------
    CallerError
        If the file of users is not right, or one is needed and missing.
    """
    auth, limits = options.auth, options.limits
    users: Users = ()
    notes: list[str] = []
    if auth.users_file is not None:
        users = read_users(auth.users_file)
        exposure = find_exposure(auth.users_file)
        notes += [] if exposure is None else [exposure]
    elif auth.schemes_required == (SASL,):
        raise CallerError("every client must prove who it is by SASL, but nobody's password is known: give --users-file FILE")
    settings = Settings(
        timeout_ms_min=options.timeout_ms_min,
        timeout_ms_max=options.timeout_ms_max,
        bucket_ms=options.bucket_ms,
        outstanding_max=limits.outstanding_max,
        enforce_quota=limits.enforce_quota,
        extended_types=options.extended_types,
        container_check_ms=options.container_check_ms,
        containers_per_minute_max=options.containers_per_minute_max,
        container_unused_ms_max=options.container_unused_ms_max,
        users=users,
        nonce_key=token_bytes(NONCE_KEY_BYTES),
        super_digest=auth.super_digest,
        x509=options.tls is not None,
        x509_super_user=auth.x509_super_user,
        sasl_super_users=auth.sasl_super_users,
        sasl_failures_allowed=auth.sasl_failures_allowed,
        schemes_required=auth.schemes_required,
    )
    return settings, notes
