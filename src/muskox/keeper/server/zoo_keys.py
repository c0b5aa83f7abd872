"""The keys of Apache's zoo.cfg, of releases 3.8 and 3.9: what each means to a keeper, or why it means nothing.

Apache takes a key that its own parser does not know for the Java system property ``zookeeper.KEY``; those that some part of the
server reads are here as well. ``docs/keeper.md`` has this as a table.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from muskox.keeper.server.flags import words

INT_MAX = 0x7FFFFFFF
SNAPSHOTS_KEPT_LEAST = 3  # Apache keeps so many whatever it is told
SNAP_COUNT_LEAST = 2
KILOBYTE = 1_024
PASSWORD = "ssl.keyStore.password"  # what stands there is told nobody
DECIMAL = re.compile(r"[+-]?[0-9]{1,12}")


class Meaning(NamedTuple):
    """What a key sets: an option by its dotted name, and how its value is read. `read` raises ValueError with the rule."""

    option: str
    read: Callable[[str], Any]


def whole_number(text: str) -> int:
    """Read what Java's Integer.parseInt takes."""
    if not DECIMAL.fullmatch(text) or abs(int(text)) > INT_MAX:
        raise ValueError("must be a whole number")
    return int(text)


def system_number(text: str) -> int:
    """Read what Java's Integer.decode takes: a system property may be 0xfffff, and 010 is eight."""
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    try:
        if digits[:2] in ("0x", "0X"):
            return sign * int(digits[2:], 16)
        if digits[:1] == "#":
            return sign * int(digits[1:], 16)
        if len(digits) > 1 and digits[0] == "0":
            return sign * int(digits, 8)
    except ValueError:
        raise ValueError("must be a whole number") from None
    return sign * whole_number(digits)


def at_least(least: int, read: Callable[[str], int]) -> Callable[[str], int]:
    def bounded(text: str) -> int:
        value = read(text)
        if value < least:
            raise ValueError(f"must be at least {least}")
        return value

    return bounded


def raised_to(least: int, read: Callable[[str], int]) -> Callable[[str], int]:
    """Read a number that Apache raises to `least` where it is less."""
    return lambda text: max(least, read(text))


def port(text: str) -> int | None:
    """Read a port; 0 is none, as in Apache."""
    value = whole_number(text)
    if not 0 <= value <= 0xFFFF:
        raise ValueError("must be a port, from 1 to 65535")
    return value or None


def timeout(text: str) -> int | None:
    """Read a session timeout; -1 is what follows from the tick, as in Apache."""
    value = whole_number(text)
    if value != -1 and value < 1:
        raise ValueError("must be at least 1, or -1 for what follows from tickTime")
    return None if value == -1 else value


def truth(text: str) -> bool:
    """Read a truth of a system property: whatever is not "true" is false in Java, which hides mistakes, so it is refused."""
    if text.lower() not in ("true", "false"):
        raise ValueError("must be true or false")
    return text.lower() == "true"


def is_not_no(text: str) -> bool:
    """Read forceSync, which is on unless it is exactly "no"."""
    if text not in ("yes", "no"):
        raise ValueError("must be yes or no")
    return text != "no"


def place(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("must be the path of a file or folder")
    return Path(text)


def host(text: str) -> str:
    return text or "127.0.0.1"  # Java takes an empty name for loopback


def identity(text: str) -> str:
    """Read "user:digest"."""
    user, _, digest = text.partition(":")
    if not user or not digest:
        raise ValueError("must be user:BASE64, as Apache's DigestAuthenticationProvider prints it for user:password")
    return text


def client_auth(text: str) -> str:
    value = text.lower() or "need"
    if value not in ("none", "want", "need"):
        raise ValueError("must be none, want or need")
    return value


MEANINGS: dict[str, Meaning] = {
    "dataDir": Meaning("data_dir", place),
    "dataLogDir": Meaning("log_dir", place),
    "clientPort": Meaning("client_port", port),
    "clientPortAddress": Meaning("host", host),
    "secureClientPort": Meaning("secure_port", port),
    "secureClientPortAddress": Meaning("secure_host", host),
    "client.portUnification": Meaning("port_unification", truth),
    "tickTime": Meaning("tick_ms", at_least(1, whole_number)),
    "minSessionTimeout": Meaning("session_timeout_ms_min", timeout),
    "maxSessionTimeout": Meaning("session_timeout_ms_max", timeout),
    "maxClientCnxns": Meaning("limits.connections_per_address_max", raised_to(0, whole_number)),
    "maxCnxns": Meaning("limits.connections_max", raised_to(0, system_number)),
    "jute.maxbuffer": Meaning("limits.frame_bytes_max", at_least(1_024, system_number)),
    "globalOutstandingLimit": Meaning("limits.outstanding_max", at_least(1, system_number)),
    "enforceQuota": Meaning("limits.enforce_quota", truth),
    "snapCount": Meaning("snap_count", raised_to(SNAP_COUNT_LEAST, system_number)),
    "preAllocSize": Meaning("preallocated_bytes", lambda text: at_least(0, whole_number)(text) * KILOBYTE),
    "forceSync": Meaning("force_sync", is_not_no),
    "autopurge.snapRetainCount": Meaning("snapshots_kept", raised_to(SNAPSHOTS_KEPT_LEAST, whole_number)),
    "autopurge.purgeInterval": Meaning("purge_hours", raised_to(0, whole_number)),
    "4lw.commands.whitelist": Meaning("four_letter_words", words),
    "extendedTypesEnabled": Meaning("extended_types", truth),
    "znode.container.checkIntervalMs": Meaning("container_check_ms", at_least(1, system_number)),
    "znode.container.maxNeverUsedIntervalMs": Meaning("container_unused_ms_max", at_least(0, system_number)),
    "znode.container.maxPerMinute": Meaning("containers_per_minute_max", at_least(1, system_number)),
    "admin.serverPort": Meaning("http.admin_port", at_least(0, system_number)),
    "admin.serverAddress": Meaning("http.admin_host", host),
    "metricsProvider.httpPort": Meaning("http.metrics_port", at_least(0, whole_number)),
    "metricsProvider.httpHost": Meaning("http.metrics_host", host),
    "DigestAuthenticationProvider.superDigest": Meaning("auth.super_digest", identity),
    "X509AuthenticationProvider.superUser": Meaning("auth.x509_super_user", str),
    "allowSaslFailedClients": Meaning("auth.sasl_failures_allowed", truth),
    "java.security.auth.login.config": Meaning("auth.users_file", place),
    "ssl.keyStore.location": Meaning("tls.cert_file", place),
    PASSWORD: Meaning("tls.key_password", lambda text: text or None),
    "ssl.trustStore.location": Meaning("tls.ca_file", place),
    "ssl.clientAuth": Meaning("tls.client_auth", client_auth),
}

# Apache takes these from Java's command line alone; in a file they do nothing there.
FROM_THE_COMMAND_LINE = (
    "jute.maxbuffer",
    "znode.container.checkIntervalMs",
    "znode.container.maxNeverUsedIntervalMs",
    "znode.container.maxPerMinute",
    "java.security.auth.login.config",
)

# Read together with others: see zoo_cfg.py.
TOGETHER = {
    "admin.enableServer",
    "metricsProvider.className",
    "standaloneEnabled",
    "peerType",
    "dynamicConfigFile",
    "datadir.autocreate",
    "ssl.keyStore.type",
    "ssl.keyStore.passwordPath",
    "ssl.trustStore.type",
    "sessionRequireClientSASLAuth",
    "enforce.auth.enabled",
    "enforce.auth.schemes",
}


class Deviation(NamedTuple):
    """A key that is not honoured: with one of the values `same` that makes no difference, else `because` says which."""

    same: tuple[str, ...]
    because: str


# A keeper that served without these would let in whom they shut out, or misread the files: it does not start.
REFUSED: dict[str, Deviation] = {
    "DigestAuthenticationProvider.enabled": Deviation(("true",), "the digest scheme cannot be switched off"),
    "DigestAuthenticationProvider.digestAlg": Deviation(("sha1", "sha-1"), "digests are SHA-1, as Apache's are by default"),
    "ssl.crl": Deviation(("false",), "lists of revoked certificates are not looked at"),
    "ssl.ocsp": Deviation(("false",), "nobody is asked whether a certificate was revoked"),
    "ssl.authProvider": Deviation(("x509",), "client certificates are judged by the scheme x509 alone"),
    "ssl.context.supplier.class": Deviation(("",), "Java classes cannot be loaded"),
    "emulate353TTLNodes": Deviation(("false",), "the times to live of 3.5.3 are not understood"),
}

# A keeper serves all the same, and says what differs.
NOTED: dict[str, Deviation] = {
    "skipACL": Deviation(("no",), "ACLs are always checked"),
    "requireClientAuthScheme": Deviation((), "Apache does not act on it either; sessionRequireClientSASLAuth=true does"),
    "SASLAuthenticationProvider.superPassword": Deviation((), "put user_super into the file of users instead"),
    "letAnySaslUserDoX": Deviation((), "a SASL user is granted what the ACLs say and no more"),
    "snapshot.compression.method": Deviation(("", "none", "checked"), "snapshots are written as they are, without compression"),
    "audit.enable": Deviation(("false",), "no audit log is written"),
    "localSessionsEnabled": Deviation(("false",), "sessions are always global"),
    "digest.enabled": Deviation(("true",), "the tree's digest is always written"),
    "portUnification": Deviation(("false",), "it is for servers among themselves; client.portUnification is for clients"),
    "ssl.enabledProtocols": Deviation((), "TLS 1.2 and 1.3 are spoken"),
    "ssl.protocol": Deviation((), "TLS 1.2 and 1.3 are spoken"),
    "ssl.ciphersuites": Deviation((), "the ciphers are OpenSSL's default ones"),
    "admin.commandURL": Deviation(("/commands",), "it is /commands"),
    "admin.portUnification": Deviation(("false",), "the AdminServer speaks plain HTTP"),
    "admin.forceHttps": Deviation(("false",), "the AdminServer speaks plain HTTP"),
    "metricsProvider.httpsPort": Deviation((), "metrics are served by plain HTTP"),
    "connection_throttle_tokens": Deviation(("0",), "new connections are not throttled"),
    "request_throttle_max_requests": Deviation(("0",), "requests are bounded by globalOutstandingLimit alone"),
    "largeRequestThreshold": Deviation(("-1",), "requests are bounded by jute.maxbuffer alone"),
    "snapSizeLimitInKb": Deviation((), "snapshots follow from snapCount alone"),
    "txnLogSizeLimitInKb": Deviation(("-1",), "a log ends where a snapshot begins"),
    "kerberos.removeHostFromPrincipal": Deviation(("false",), "Kerberos is not spoken"),
    "kerberos.removeRealmFromPrincipal": Deviation(("false",), "Kerberos is not spoken"),
    "ensembleAuthName": Deviation((), "the scheme ensemble is not known"),
}

# The JVM, the network layers, caches, throttles of servers among themselves: nothing in a keeper corresponds to them, and no
# client can tell.
IGNORED = {
    "initLimit", "syncLimit", "connectToLearnerMasterLimit", "electionAlg", "quorumListenOnAllIPs", "syncEnabled", "version",
    "reconfigEnabled", "sslQuorum", "sslQuorumReloadCertFiles", "observerMasterPort", "clientPortListenBacklog", "oraclePath",
    "localSessionsUpgradingEnabled", "serverCnxnFactory", "preferIPv4Stack", "jaasLoginRenew", "leaderServes", "cnxTimeout",
    "quorumCnxnTimeoutMs", "electionPortBindRetry", "flushDelay", "maxWriteQueuePollTime", "maxBatchSize", "commitLogCount",
    "fsync.warningthresholdms", "forceSnapshotSync", "snapshotSizeFactor", "snapshot.trust.empty", "closeSessionTxn.enabled",
    "db.autocreate", "readonlymode.enabled", "enableEagerACLCheck", "maxResponseCacheSize", "maxGetChildrenResponseCacheSize",
    "largeRequestMaxBytes", "intBufferStartingSizeBytes", "bitHashCacheSize", "watchManagerName", "watcherCleanThreadsNum",
    "watcherCleanThreshold", "watcherCleanIntervalInSeconds", "maxInProcessingDeadWatchers", "request.timeout", "tcpKeepAlive",
    "clientTcpKeepAlive", "jute.maxbuffer.extrasize", "throttled_op_wait_time", "testingonly.initialZxid",
    "requireKerberosConfig", "security.auth_to_local", "audit.impl.class", "ssl.trustStore.password",
    "ssl.trustStore.passwordPath", "ssl.hostnameVerification", "ssl.handshakeDetectionTimeoutMillis",
    "client.certReload", "fips-mode", "serializeLastProcessedZxid.enabled", "admin.idleTimeout", "admin.httpVersion",
    "admin.rateLimiterIntervalInMS", "admin.snapshot.enabled", "admin.restore.enabled", "admin.needClientAuth",
    "metricsProvider.exportJvmInfo", "forward_learner_requests_to_commit_processor_disabled", "sasl.serverconfig",
    "request_stale_connection_check", "request_stale_latency_check", "request_throttle_drop_stale",
    "request_throttle_stall_time", "request_throttler.shutdownTimeout", "controllerPort",
    "leaderConnectDelayDuringRetryMs",
}  # fmt: skip
IGNORED_PREFIXES = (
    "nio.", "netty.", "commitProcessor.", "quorum.", "multiAddress.", "jvm.pause.", "learner.", "leader.", "follower.",
    "observer.", "observerMaster.", "fastleader.", "pathStats.", "messageTracker.", "connection_throttle_", "jmx.",
    "ssl.quorum.", "group.", "weight.", "kerberos.", "metricsProvider.", "sasl.", "server.principal", "server.realm",
)  # fmt: skip

AUTH_PROVIDERS = {
    "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    "org.apache.zookeeper.server.auth.X509AuthenticationProvider",
    "org.apache.zookeeper.server.auth.DigestAuthenticationProvider",
    "org.apache.zookeeper.server.auth.IPAuthenticationProvider",
}
SASL_PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
PROMETHEUS = "org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
METRICS_PROVIDERS_SILENT = {
    "org.apache.zookeeper.metrics.impl.DefaultMetricsProvider",
    "org.apache.zookeeper.metrics.impl.NullMetricsProvider",
}
KNOWN = {*MEANINGS, *TOGETHER, *REFUSED, *NOTED, *IGNORED}


def is_known(key: str) -> bool:
    return key in KNOWN or key.startswith(IGNORED_PREFIXES)
