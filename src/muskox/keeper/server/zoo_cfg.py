"""Apache's zoo.cfg, read as what a keeper can be told.

What a keeper honours becomes options; what Apache knows and a keeper cannot do is refused where serving without it would let
in whom the file shuts out, and noted otherwise; what nobody knows is noted with the key that was probably meant. A file says
where Apache listens, and Apache listens everywhere unless told otherwise; a keeper listens beyond loopback only where the file
says so in words.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from muskox.errors import CallerError
from muskox.keeper.server import zoo_keys
from muskox.keeper.server.flags import names, secret
from muskox.keeper.server.java_properties import Property, parse
from muskox.keeper.server.options import SCHEMES

BYTES_MAX = 1 << 20  # a configuration is a page of text; whatever is longer is something else
SERVER = re.compile(r"server\.\d+")
SUPER_USER = re.compile(r"superUser(\..*)?")
CLIENT_PORT = re.compile(r".*;\s*(?:(?P<host>.*):)?(?P<port>\d+)\s*")
ADMIN_PORT, METRICS_PORT, TICK_MS = 8080, 7000, 3_000  # Apache's
STORE_TYPES = {".pem": "pem", ".jks": "jks", ".p12": "pkcs12", ".pfx": "pkcs12", ".bcfks": "bcfks"}
NEAR_ENOUGH = 0.75
BLANKS = "".join(chr(code) for code in range(33))  # what Java's trim takes away


class Note(NamedTuple):
    """What whoever starts the keeper should know. With `option` given by a flag, it is of no interest any more."""

    sentence: str
    option: str = ""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file says: options by their dotted names, and notes."""

    given: dict[str, Any]
    notes: tuple[Note, ...]


def read_zoo_cfg(path: Path) -> Configuration:
    """Return what the zoo.cfg at `path` says.

    Raises
    ------
    CallerError
        If it cannot be read, a value breaks its rule, or it asks for what a keeper must not serve without.
    """
    reading = Reading(path)
    reading.take_all()
    reading.take_servers()
    reading.take_http()
    reading.take_auth()
    reading.take_tls()
    reading.take_places()
    return Configuration(reading.given, tuple(reading.notes))


def load(path: Path) -> list[Property]:
    """Return a file's properties, keys and values trimmed."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:  # ValueError: a null character in its name
        reason = error.strerror if isinstance(error, OSError) else error
        raise CallerError(f"{path} cannot be read: {reason}; give an Apache zoo.cfg, or flags") from error
    if len(data) > BYTES_MAX:
        raise CallerError(f"{path} is longer than {BYTES_MAX} bytes; that is no zoo.cfg")
    try:
        return [Property(each.key.strip(BLANKS), each.value.strip(BLANKS), each.line) for each in parse(data)]
    except CallerError as error:
        raise CallerError(f"{path}, {error}") from error


class Reading:
    """One file while it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # What Apache takes where a file is silent.
        self.given: dict[str, Any] = {"client_port": None, "purge_hours": 0, "tick_ms": TICK_MS}
        self.notes: list[Note] = []
        self.properties: dict[str, Property] = {}
        for each in load(path):
            before = self.properties.get(each.key)
            if before is not None:
                self.note(each, f"{each.key} was given in line {before.line} already; this one counts")
            self.properties[each.key] = each

    def note(self, at: Property, sentence: str, option: str = "") -> None:
        self.notes.append(Note(f"{self.path}, line {at.line}: {sentence}", option))

    def refuse(self, at: Property, sentence: str) -> NoReturn:
        raise CallerError(f"{self.path}, line {at.line}: {sentence}")

    def value(self, key: str, default: str = "") -> str:
        found = self.properties.get(key)
        return default if found is None else found.value

    def take_all(self) -> None:
        for each in self.properties.values():
            key, value, _ = each
            if key in zoo_keys.MEANINGS:
                self.take(each)
            elif key in zoo_keys.REFUSED:
                if value.lower() not in zoo_keys.REFUSED[key].same:
                    self.refuse(each, f"{key} is {value}, but {zoo_keys.REFUSED[key].because}; leave it out to serve without")
            elif key in zoo_keys.NOTED:
                if value.lower() not in zoo_keys.NOTED[key].same:
                    self.note(each, f"{key} has no effect: {zoo_keys.NOTED[key].because}")
            elif key.startswith("authProvider."):
                if value not in zoo_keys.AUTH_PROVIDERS:
                    self.note(
                        each, f"{key} has no effect: {value} is no provider that a keeper has, so ACLs of its scheme fail"
                    )
            elif not (SERVER.fullmatch(key) or SUPER_USER.fullmatch(key) or zoo_keys.is_known(key)):
                self.note(each, unknown(key))

    def take(self, each: Property) -> None:
        """Take a key that means one option."""
        meaning = zoo_keys.MEANINGS[each.key]
        try:
            value = meaning.read(each.value)
        except ValueError as error:
            self.refuse(each, f"{each.key} is {each.value!r}; it {error}")
        self.given[meaning.option] = value
        if each.key in zoo_keys.FROM_THE_COMMAND_LINE:
            self.note(each, f"{each.key} is honoured here; Apache takes it from Java's command line only (-D{each.key}=...)")
        if each.key == "autopurge.snapRetainCount" and value != int(each.value):
            self.note(each, f"{each.key} is taken as {value}, the least that Apache keeps")
        meant = misread(each.value)
        if meant is not None:
            value, meant = ("not ASCII", "UTF-8") if each.key == zoo_keys.PASSWORD else (each.value, meant)
            self.note(each, f"{each.key} is {value}: this format is Latin-1; if {meant} is meant, write \\uXXXX")

    # What several keys say together

    def take_servers(self) -> None:
        """Refuse an ensemble; a single server may give the client port."""
        servers = [each for key, each in self.properties.items() if SERVER.fullmatch(key)]
        if "dynamicConfigFile" in self.properties:
            if servers:
                self.refuse(servers[0], f"{servers[0].key} must stand in the dynamicConfigFile, as that is named")
            at = self.properties["dynamicConfigFile"]
            try:
                dynamic = load(Path(at.value))
            except CallerError as error:
                self.refuse(at, f"dynamicConfigFile is {at.value!r}; {error}")
            servers = [each._replace(line=at.line) for each in dynamic if SERVER.fullmatch(each.key)]
        if len(servers) > 1 or self.value("peerType").lower() == "observer":
            at = servers[0] if servers else self.properties["peerType"]
            names = ", ".join(each.key for each in servers) or "an observer"
            self.refuse(
                at,
                f"{names}: this is an ensemble, and a keeper serves alone; leave these lines out for a single server, "
                "or run Apache ZooKeeper",
            )
        for each in servers:
            self.note(each, f"{each.key} is alone, so this is no ensemble: it is served like a file without this line")
            found = CLIENT_PORT.fullmatch(each.value)
            if found is not None and self.given["client_port"] is None:
                self.given["client_port"] = zoo_keys.port(found["port"])
                if found["host"]:
                    self.given["host"] = found["host"].strip("[]")

    def take_http(self) -> None:
        """Open the AdminServer and the metrics where the file asks for them; an unasked default opens nothing."""
        enabled = self.properties.get("admin.enableServer")
        if enabled is not None and enabled.value.lower() == "false":
            self.given.pop("http.admin_port", None)
        elif enabled is not None:
            self.given.setdefault("http.admin_port", ADMIN_PORT)
        provider = self.properties.get("metricsProvider.className")
        if provider is not None and provider.value == zoo_keys.PROMETHEUS:
            self.given.setdefault("http.metrics_port", METRICS_PORT)
        else:
            self.given.pop("http.metrics_port", None)
            if provider is not None and provider.value not in zoo_keys.METRICS_PROVIDERS_SILENT:
                self.note(
                    provider, f"{provider.key} has no effect: a keeper has Prometheus's format only, {zoo_keys.PROMETHEUS}"
                )

    def take_auth(self) -> None:
        """See who must prove what before being served."""
        required = self.properties.get("sessionRequireClientSASLAuth")
        if required is not None and self.is_true(required):
            self.given["auth.schemes_required"] = ("sasl",)
        enforced = self.properties.get("enforce.auth.enabled")
        if enforced is not None and self.is_true(enforced) and "auth.schemes_required" not in self.given:
            schemes = names(self.value("enforce.auth.schemes"))
            if not schemes or not set(schemes) <= set(SCHEMES):
                found = self.value("enforce.auth.schemes")
                self.refuse(enforced, f"enforce.auth.schemes is {found!r}; it must list some of {', '.join(SCHEMES)}")
            self.given["auth.schemes_required"] = schemes
        supers = [each.value for key, each in self.properties.items() if SUPER_USER.fullmatch(key)]
        if supers:
            self.given["auth.sasl_super_users"] = tuple(supers)
        asks = [each for each in self.properties.values() if each.value == zoo_keys.SASL_PROVIDER]
        if asks and "auth.users_file" not in self.given:
            self.note(
                asks[0],
                f"{asks[0].key} asks for SASL, but nobody's password is known: give --users-file FILE, "
                "the JAAS file of Apache's -Djava.security.auth.login.config",
                "auth.users_file",
            )

    def is_true(self, each: Property) -> bool:
        try:
            return zoo_keys.truth(each.value)
        except ValueError as error:
            self.refuse(each, f"{each.key} is {each.value!r}; it {error}")

    def take_tls(self) -> None:
        """Take stores in PEM; Java's own formats are refused with what makes PEM of them."""
        for store in ("ssl.keyStore", "ssl.trustStore"):
            location = self.properties.get(f"{store}.location")
            if location is None:
                continue
            kind = self.value(f"{store}.type").lower() or STORE_TYPES.get(Path(location.value).suffix.lower(), "pem")
            if kind != "pem":
                self.refuse(
                    location, f"{location.key} is {location.value}, in {kind.upper()}; {conversion(kind, location.value)}"
                )
        password_path = self.properties.get("ssl.keyStore.passwordPath")
        if password_path is not None and password_path.value:
            try:
                self.given["tls.key_password"] = secret(password_path.value)
            except CallerError as error:
                self.refuse(password_path, f"{password_path.key} is {error}")

    def take_places(self) -> None:
        """Say where the files lie and who is listened to, where that might surprise."""
        for key, option in (("dataDir", "data_dir"), ("dataLogDir", "log_dir")):
            each = self.properties.get(key)
            if each is not None and not Path(each.value).is_absolute() and not each.value.startswith("."):
                self.note(each, f"{key} is relative, so it is {Path.cwd() / each.value}", option)
        data_dir = self.given.get("data_dir")
        if (
            self.value("datadir.autocreate").lower() == "false"
            and data_dir is not None
            and not (data_dir / "version-2").is_dir()
        ):
            self.refuse(
                self.properties["datadir.autocreate"],
                f"datadir.autocreate is false, and {data_dir} holds no data; make {data_dir / 'version-2'} to begin anew",
            )
        for port, host, key, flag in (
            ("client_port", "host", "clientPortAddress", "--host"),
            ("secure_port", "secure_host", "secureClientPortAddress", "--secure-host"),
            ("http.admin_port", "http.admin_host", "admin.serverAddress", "--admin-host"),
            ("http.metrics_port", "http.metrics_host", "metricsProvider.httpHost", "--metrics-host"),
        ):
            if self.given.get(port) is not None and host not in self.given:
                what = f"port {self.given[port]} is opened on 127.0.0.1 only, where Apache would listen at every address"
                self.notes.append(Note(f"{self.path}: {what}; {key}=0.0.0.0 or {flag} 0.0.0.0 opens it", host))


def misread(text: str) -> str | None:
    """Return what somebody probably meant who wrote UTF-8 where Latin-1 is read; None if that is not so."""
    try:
        return None if text.isascii() else text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return None


def unknown(key: str) -> str:
    """Return the sentence on a key that neither Apache nor a keeper knows."""
    from difflib import get_close_matches

    by_lower = {known.lower(): known for known in sorted(zoo_keys.KNOWN)}
    near = get_close_matches(key.removeprefix("zookeeper.").lower(), by_lower, 1, NEAR_ENOUGH)
    hint = f"; did you mean {by_lower[near[0]]}?" if near else ""
    return f"{key or 'an empty key'} is nothing that ZooKeeper knows, so it has no effect{hint}"


def conversion(kind: str, location: str) -> str:
    stem = Path(location).stem
    if kind == "pkcs12":
        return f"only PEM is read: openssl pkcs12 -in {location} -nodes -out {stem}.pem"
    return (
        f"only PEM is read: keytool -importkeystore -srckeystore {location} -destkeystore {stem}.p12 -deststoretype PKCS12, "
        f"then openssl pkcs12 -in {stem}.p12 -nodes -out {stem}.pem"
    )
