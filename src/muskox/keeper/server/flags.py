"""The flags of ``muskox keeper`` and ``python -m muskox.keeper``: one table, from which both make their help.

Flags override a zoo.cfg. This file must stay cheap to import: it stands between a start and the first reply.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from muskox.errors import CallerError
from muskox.keeper.server.options import CLIENT_AUTHS, Options, make_options

DATA_DIR = Path("muskox-keeper")  # without a zoo.cfg and --data-dir
FILES, CLIENTS, TLS, AUTH, LIMITS, OPERATIONS = "Files", "Clients", "TLS", "Who may do what", "Limits", "Operations"


def names(text: str) -> tuple[str, ...]:
    """Read "A,B,C"."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def words(text: str) -> tuple[str, ...]:
    """Read a list of four-letter words; `srvr` is always one, as in Apache."""
    given = names(text)
    return ("*",) if "*" in given or given == ("all",) else tuple(dict.fromkeys([*given, "srvr"]))


def place(text: str) -> Path:
    """Read a path; an empty one, of a variable that was not set, would be where the server happens to be started."""
    if not text:
        raise CallerError("an empty path; name a file or folder")
    return Path(text)


def secret(text: str) -> str | None:
    """Read the secret in the file of that name: a command line is seen by everyone on the machine."""
    try:
        return Path(text).read_text(encoding="utf-8").rstrip("\r\n") or None
    except (OSError, ValueError) as error:
        raise CallerError(f"{text!r} cannot be read: {error}; name a file with the password alone") from error


class Flag(NamedTuple):
    """One flag: the option it sets, by its dotted name, how it is read and what it is about.

    `kind` is a function of the text, or bool for a switch that also has a ``--no-`` form. It raises ValueError with the rule.
    """

    name: str
    option: str
    kind: Callable[[str], Any] | type[bool]
    metavar: str
    help: str
    heading: str

    @property
    def is_switch(self) -> bool:
        return self.kind is bool

    @property
    def word(self) -> str:
        """Its name in Python: ``--tick-ms`` is ``tick_ms``."""
        return self.name[2:].replace("-", "_")

    @property
    def opposite(self) -> str:
        """The switch that says no."""
        return self.name.replace("--", "--no-", 1)

    def said(self, value: object) -> str:
        """Return the flag with a value, as one word of a command line: the value may begin with a dash."""
        if self.is_switch:
            return self.name if value else self.opposite
        return f"{self.name}={value}"


FLAGS = (
    Flag("--data-dir", "data_dir", place, "DIR", "folder for snapshots and the log (default muskox-keeper)", FILES),
    Flag("--log-dir", "log_dir", place, "DIR", "folder for the log, if it is to lie elsewhere", FILES),
    Flag("--snap-count", "snap_count", int, "N", "transactions between snapshots (default 100000)", FILES),
    Flag("--snapshots-kept", "snapshots_kept", int, "N", "snapshots that a purge keeps, with their logs (default 3)", FILES),
    Flag("--purge-hours", "purge_hours", int, "N", "hours between purges, 0 for none (default: after each snapshot)", FILES),
    Flag("--preallocated-bytes", "preallocated_bytes", int, "N", "how much of a log is allocated at a time", FILES),
    Flag("--force-sync", "force_sync", bool, "", "acknowledge only what is on disk (the default)", FILES),
    Flag("--client-port", "client_port", int, "PORT", "port for clients, 0 for any free one (default 2181)", CLIENTS),
    Flag("--host", "host", str, "ADDRESS", "address to listen at; 0.0.0.0 is every one (default 127.0.0.1)", CLIENTS),
    Flag("--tick-ms", "tick_ms", int, "MS", "ZooKeeper's tickTime (default 2000)", CLIENTS),
    Flag("--min-session-timeout-ms", "session_timeout_ms_min", int, "MS", "least granted (default 2 ticks)", CLIENTS),
    Flag("--max-session-timeout-ms", "session_timeout_ms_max", int, "MS", "largest granted (default 20 ticks)", CLIENTS),
    Flag("--extended-types", "extended_types", bool, "", "let znodes have a time to live", CLIENTS),
    Flag("--container-check-ms", "container_check_ms", int, "MS", "how often containers are looked at", CLIENTS),
    Flag("--containers-per-minute", "containers_per_minute_max", int, "N", "containers deleted in a minute at most", CLIENTS),
    Flag("--container-unused-ms", "container_unused_ms_max", int, "MS", "how long one without children lives, 0: on", CLIENTS),
    Flag("--secure-client-port", "secure_port", int, "PORT", "port for clients by TLS", TLS),
    Flag("--secure-host", "secure_host", str, "ADDRESS", "address of that port (default 127.0.0.1)", TLS),
    Flag("--tls-cert", "tls.cert_file", place, "PEM", "this server's certificate, with its chain", TLS),
    Flag("--tls-key", "tls.key_file", place, "PEM", "its private key, if it is in another file", TLS),
    Flag("--tls-key-password-file", "tls.key_password", secret, "FILE", "the private key's password, if it has one", TLS),
    Flag("--tls-ca", "tls.ca_file", place, "PEM", "the authorities that sign clients' certificates", TLS),
    Flag("--client-auth", "tls.client_auth", str, "|".join(CLIENT_AUTHS), "clients' certificates (default need)", TLS),
    Flag("--port-unification", "port_unification", bool, "", "take TLS and plaintext on the client port", TLS),
    Flag("--users-file", "auth.users_file", place, "FILE", 'users of SASL: a JAAS file, or lines of "user:password"', AUTH),
    Flag("--sasl-super-users", "auth.sasl_super_users", names, "LIST", "those of them that may do everything", AUTH),
    Flag("--allow-sasl-failures", "auth.sasl_failures_allowed", bool, "", "serve who fails at SASL, as nobody", AUTH),
    Flag("--require-auth", "auth.schemes_required", names, "LIST", "serve nobody without one of these: sasl,x509", AUTH),
    Flag("--super-digest", "auth.super_digest", str, "USER:BASE64", "the digest that may do everything", AUTH),
    Flag("--x509-super-user", "auth.x509_super_user", str, "SUBJECT", "the certificate that may do everything", AUTH),
    Flag("--max-client-connections", "limits.connections_per_address_max", int, "N", "from one address, 0: any (60)", LIMITS),
    Flag("--max-connections", "limits.connections_max", int, "N", "in all, 0 for any number (default 0)", LIMITS),
    Flag("--max-frame-bytes", "limits.frame_bytes_max", int, "N", "longest request: jute.maxbuffer (1048575)", LIMITS),
    Flag("--max-outstanding", "limits.outstanding_max", int, "N", "writes under way at once (default 1000)", LIMITS),
    Flag("--enforce-quota", "limits.enforce_quota", bool, "", "refuse what exceeds a hard quota", LIMITS),
    Flag("--four-letter-words", "four_letter_words", words, "LIST|all", "which are answered (default srvr)", OPERATIONS),
    Flag("--admin-port", "http.admin_port", int, "PORT", "port for the AdminServer's /commands", OPERATIONS),
    Flag("--admin-host", "http.admin_host", str, "ADDRESS", "its address (default 127.0.0.1)", OPERATIONS),
    Flag("--metrics-port", "http.metrics_port", int, "PORT", "port for Prometheus's /metrics", OPERATIONS),
    Flag("--metrics-host", "http.metrics_host", str, "ADDRESS", "its address (default 127.0.0.1)", OPERATIONS),
)

EXAMPLES = (
    "muskox keeper --data-dir keeper --client-port 2181",
    "muskox keeper /etc/zookeeper/conf/zoo.cfg",
    "muskox keeper zoo.cfg --host 0.0.0.0 --four-letter-words all --metrics-port 7000",
    "muskox keeper --secure-client-port 2281 --tls-cert server.pem --tls-key key.pem --tls-ca ca.pem",
)


def options_of(config: Path | None, flags: Mapping[str, Any]) -> tuple[Options, list[str]]:
    """Return how to serve, and what to tell whoever asked for it.

    Parameters
    ----------
    config : an Apache zoo.cfg, or None
    flags : what flags say, by the options' dotted names; they override the file

    Raises
    ------
    CallerError
        If the file or a flag breaks a rule.
    """
    if config is None:
        return make_options({"data_dir": DATA_DIR, **flags}), []
    from muskox.keeper.server.zoo_cfg import read_zoo_cfg  # a start without a file needs none of it

    read = read_zoo_cfg(config)
    given = {**read.given, **flags}
    if "data_dir" not in given:
        raise CallerError(f"{config} names no dataDir, where the data lie; add it, or give --data-dir")
    try:
        options = make_options(given)
    except CallerError as error:
        raise CallerError(f"{config}: {error}") from error
    return options, [note.sentence for note in read.notes if not note.option or note.option not in flags]
