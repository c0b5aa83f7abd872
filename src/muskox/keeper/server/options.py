"""What a keeper can be told when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muskox.errors import CallerError

TICKS_MIN, TICKS_MAX = 2, 20  # Apache's bounds for session timeouts, in ticks
BUCKETS_PER_TICK = 10
HOST_LABEL_MAX = 63  # RFC 1035
INT_MAX = (1 << 31) - 1  # what a client can be told, and what Apache takes, of any number
PREALLOCATED_BYTES_MAX = 1 << 40
FRAME_BYTES_LEAST = 1_024  # less than this, and a connect request or a path of some depth is refused
WORDS_DEFAULT = ("srvr",)
SCHEMES = ("digest", "ip", "sasl", "x509")
CLIENT_AUTHS = ("none", "want", "need")


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """What TLS needs: PEM files.

    Parameters
    ----------
    cert_file : this server's certificate, with its chain
    key_file : its private key; may be the same file
    ca_file : the authorities that sign clients' certificates; None trusts no client's
    client_auth : "need" refuses clients without a certificate, "want" asks for one, "none" does not
    key_password : the password of the private key, None if it has none
    """

    cert_file: Path
    key_file: Path
    ca_file: Path | None = None
    client_auth: str = "need"
    key_password: str | None = None

    def __post_init__(self) -> None:
        if self.client_auth not in CLIENT_AUTHS:
            raise CallerError(f"client_auth is {self.client_auth!r}; it is one of {', '.join(CLIENT_AUTHS)}")


@dataclass(frozen=True, slots=True)
class AuthOptions:
    """Who may be whom.

    Parameters
    ----------
    users_file : users and passwords for SASL DIGEST-MD5: a JAAS file with a Server section, or lines of "user:password"
    sasl_super_users : those of them that may do everything (superUser)
    sasl_failures_allowed : whether who fails to prove to be one of them is served, as nobody (allowSaslFailedClients)
    super_digest : the identity "user:BASE64" that may do everything, as Apache's superDigest
    x509_super_user : the subject of the client certificate that may do everything
    schemes_required : a session that has proved nothing of these is refused every request (enforce.auth.schemes); none for ()
    """

    users_file: Path | None = None
    sasl_super_users: tuple[str, ...] = ()
    sasl_failures_allowed: bool = False
    super_digest: str | None = None
    x509_super_user: str | None = None
    schemes_required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for scheme in self.schemes_required:
            if scheme not in SCHEMES:
                raise CallerError(f"scheme {scheme!r} cannot be required; those there are: {', '.join(SCHEMES)}")
        if self.super_digest is not None and not all(self.super_digest.partition(":")):
            raise CallerError('super_digest must be "user:BASE64", as Apache makes it of user and password')


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What is served by HTTP; a port that is None is not opened.

    Parameters
    ----------
    admin_port, admin_host : the AdminServer's ``/commands/...``
    metrics_port, metrics_host : ``/metrics`` for Prometheus
    """

    admin_port: int | None = None
    admin_host: str = "127.0.0.1"
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds clients; the defaults are Apache's.

    Parameters
    ----------
    frame_bytes_max : the longest request (jute.maxbuffer)
    connections_per_address_max : 0 for any number (maxClientCnxns)
    connections_max : of all clients together, 0 for any number (maxCnxns)
    outstanding_max : writes under way before clients are read from no more (globalOutstandingLimit)
    enforce_quota : whether a hard quota refuses what exceeds it
    """

    frame_bytes_max: int = 0xFFFFF
    connections_per_address_max: int = 60
    connections_max: int = 0
    outstanding_max: int = 1_000
    enforce_quota: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """How to serve.

    Parameters
    ----------
    data_dir : where snapshots lie, and the log unless `log_dir` is given; made if it is missing
    log_dir : where the log lies (dataLogDir)
    client_port : the port for clients, 0 for any that is free; None opens only the secure one
    host : the address to listen at; beyond loopback only if you say so
    secure_port, secure_host : a port for TLS alone; None opens none
    tls : certificates, needed by the secure port and by `port_unification`
    port_unification : whether the client port takes TLS and plaintext alike
    auth : SASL users, super users
    tick_ms : Apache's tickTime; bounds for session timeouts follow from it unless given
    snap_count : transactions between snapshots
    snapshots_kept : how many a purge keeps, with their logs (autopurge.snapRetainCount)
    purge_hours : hours between purges (autopurge.purgeInterval); 0 never purges; None purges after each snapshot
    preallocated_bytes : how much of a log is allocated at a time (preAllocSize)
    force_sync : whether a transaction is on disk before it is acknowledged (forceSync); without it, a power cut loses some
    four_letter_words : which of them are answered, or ("*",) for all
    extended_types : whether znodes may have a time to live (zookeeper.extendedTypesEnabled)
    container_check_ms : how often empty containers and expired znodes are looked for
    containers_per_minute_max : how many of them are deleted in a minute at most
    container_unused_ms_max : how long a container that never had a child is kept; 0 keeps it
    limits, http : see there
    """

    data_dir: Path
    log_dir: Path | None = None
    client_port: int | None = 2181
    host: str = "127.0.0.1"
    secure_port: int | None = None
    secure_host: str = "127.0.0.1"
    tls: TlsOptions | None = None
    port_unification: bool = False
    auth: AuthOptions = AuthOptions()
    tick_ms: int = 2_000
    session_timeout_ms_min: int | None = None
    session_timeout_ms_max: int | None = None
    snap_count: int = 100_000
    snapshots_kept: int = 3
    purge_hours: int | None = None
    preallocated_bytes: int = 4 << 20
    force_sync: bool = True
    four_letter_words: tuple[str, ...] = WORDS_DEFAULT
    extended_types: bool = False
    container_check_ms: int = 60_000
    containers_per_minute_max: int = 10_000
    container_unused_ms_max: int = 0
    limits: Limits = Limits()
    http: HttpOptions = HttpOptions()

    def __post_init__(self) -> None:
        ports = {"client_port": self.client_port, "secure_port": self.secure_port}
        ports |= {"admin_port": self.http.admin_port, "metrics_port": self.http.metrics_port}
        for name, port in ports.items():
            if port is not None and not 0 <= port <= 0xFFFF:
                raise CallerError(f"{name} is {port}; a port is a number from 0 to 65535")
        for name, host in self.hosts().items():
            if not is_host(host):
                raise CallerError(f"{name} is {host!r}; it must be an address or a host's name, 0.0.0.0 for every address")
        if self.client_port is None and self.secure_port is None:
            raise CallerError("neither a client port nor a secure client port is given; a server needs one of them")
        if self.tls is None and (self.secure_port is not None or self.port_unification):
            raise CallerError("a secure port and port unification need certificates: give a certificate and its key")
        for name, value, least in self.numbers():
            if value < least:
                raise CallerError(f"{name} is {value}; it must be at least {least}")
            most = PREALLOCATED_BYTES_MAX if name == "preallocated_bytes" else INT_MAX
            if value > most:
                raise CallerError(f"{name} is {value}; it must be at most {most}")
        if not 0 < self.timeout_ms_min <= self.timeout_ms_max:
            raise CallerError(f"session timeouts from {self.timeout_ms_min} to {self.timeout_ms_max} ms leave none to choose")
        if self.timeout_ms_max > INT_MAX:
            raise CallerError(
                f"session timeouts up to {self.timeout_ms_max} ms, with a tick of {self.tick_ms} ms, are more than clients "
                f"can be told; the most is {INT_MAX} ms"
            )

    def hosts(self) -> dict[str, str]:
        hosts = {"host": self.host, "secure_host": self.secure_host}
        return hosts | {"admin_host": self.http.admin_host, "metrics_host": self.http.metrics_host}

    def numbers(self) -> list[tuple[str, int, int]]:
        """Return the name, value and least value of each number that has one."""
        return [
            ("tick_ms", self.tick_ms, 1),
            ("snap_count", self.snap_count, 1),
            ("snapshots_kept", self.snapshots_kept, 1),
            ("purge_hours", self.purge_hours or 0, 0),
            ("preallocated_bytes", self.preallocated_bytes, 0),
            ("container_check_ms", self.container_check_ms, 1),
            ("containers_per_minute_max", self.containers_per_minute_max, 1),
            ("container_unused_ms_max", self.container_unused_ms_max, 0),
            ("frame_bytes_max", self.limits.frame_bytes_max, FRAME_BYTES_LEAST),
            ("connections_per_address_max", self.limits.connections_per_address_max, 0),
            ("connections_max", self.limits.connections_max, 0),
            ("outstanding_max", self.limits.outstanding_max, 1),
        ]

    @property
    def timeout_ms_min(self) -> int:
        return self.tick_ms * TICKS_MIN if self.session_timeout_ms_min is None else self.session_timeout_ms_min

    @property
    def timeout_ms_max(self) -> int:
        return self.tick_ms * TICKS_MAX if self.session_timeout_ms_max is None else self.session_timeout_ms_max

    @property
    def bucket_ms(self) -> int:
        """How finely expiry is looked at: a session lives at most this much longer than its timeout."""
        return max(self.tick_ms // BUCKETS_PER_TICK, 10)


def is_host(text: str) -> bool:
    """Whether a text can be listened at: the empty one would be every address, which must be said in words."""
    return text.isascii() and all(0 < len(label) <= HOST_LABEL_MAX for label in text.removesuffix(".").split("."))


def make_options(given: Mapping[str, Any]) -> Options:
    """Return the options that `given` names by dotted names: ``{"tick_ms": 500, "limits.connections_max": 10}``.

    Raises
    ------
    CallerError
        If they do not go together, or lack what is needed.
    """
    parts: dict[str, dict[str, Any]] = {"": {}, "tls": {}, "auth": {}, "limits": {}, "http": {}}
    for name, value in given.items():
        part, _, field = name.rpartition(".")
        parts[part][field] = value
    return Options(
        **parts[""],
        tls=TlsOptions(**{"key_file": parts["tls"]["cert_file"], **parts["tls"]}) if "cert_file" in parts["tls"] else None,
        auth=AuthOptions(**parts["auth"]),
        limits=Limits(**parts["limits"]),
        http=HttpOptions(**parts["http"]),
    )
