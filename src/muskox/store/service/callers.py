"""Who calls a node's store, and what that caller may do: every call passes this gate before its method sees it.

Members proved the plane's key by the handshake (service/auth.py) and may everything. Any other Arrow Flight client says who
it is in the header "authorization", and may only list, describe and read datasets:

- ``Bearer TOKEN``, the cluster's read token (`flight_token`): every dataset;
- ``Basic ...``, user and password: the datasets whose list names them (service/access.py). As in ZooKeeper's scheme "digest" no
  such user is unknown, many a one just has no rights;
- ``Bearer ...`` as a node gave it for ``Basic``: signed with a key of the whole cluster's, so that any node takes it.

Nothing is remembered between calls. It must never know datasets.
"""

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pyarrow import flight

from muskox.store.service.access import digest_id
from muskox.store.service.auth import ServerHandshake, read_token, user_key

AUTHORIZATION = "authorization"
MEMBER_TOKEN = "auth-token-bin"  # where Flight carries what a handshake handed out
USER_TOKEN_S = 12 * 3600  # after so long a user shows the password again
HEADER_LENGTH_MAX = 4096
READING = frozenset(
    {
        flight.FlightMethod.LIST_FLIGHTS,
        flight.FlightMethod.GET_FLIGHT_INFO,
        flight.FlightMethod.GET_SCHEMA,
        flight.FlightMethod.DO_GET,
    }
)


class Role(Enum):
    """What a caller may do: a member everything, a reader read every dataset, a user those that name it."""

    MEMBER = "member"
    READER = "reader"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls; `id` is a user's digest id."""

    role: Role
    id: str = ""


class CallerGate(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Tells who calls, and refuses whom nobody knows and what is not for strangers.

    key : of the Flight plane
    clock : seconds since the epoch; it ages users' tokens
    """

    def __init__(self, key: bytes, handshake: ServerHandshake, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._handshake = handshake
        self._read_token = read_token(key).encode()
        self._user_key = user_key(key)
        self._clock = clock

    def start_call(self, info: Any, headers: Mapping[str, Sequence[str | bytes]]) -> "KnownCaller | None":
        shown = {name.lower(): values for name, values in headers.items()}
        if MEMBER_TOKEN in shown:
            self._handshake.check_token(_only(shown[MEMBER_TOKEN]))
            return KnownCaller(Caller(Role.MEMBER))
        if AUTHORIZATION not in shown:
            if info.method == flight.FlightMethod.HANDSHAKE:
                return None  # a member's, who is about to prove the key
            raise flight.FlightUnauthenticatedError("say who you are: the cluster's read token, or a user and password")
        caller, is_by_password = self._told(_only(shown[AUTHORIZATION]))
        if info.method == flight.FlightMethod.HANDSHAKE and is_by_password:
            return KnownCaller(caller, self._sign(caller.id, int(self._clock()) + USER_TOKEN_S))
        if info.method not in READING:
            raise flight.FlightUnauthorizedError("who does not know the cluster's secret may read datasets, and nothing else")
        return KnownCaller(caller)

    def _told(self, header: bytes) -> tuple[Caller, bool]:
        """Return whom the header names, and whether by password."""
        scheme, _, shown = header.partition(b" ")
        match scheme.lower():
            case b"basic":
                return Caller(Role.USER, _id_of(shown.strip())), True
            case b"bearer":
                return self._bearer(shown.strip()), False
        raise flight.FlightUnauthenticatedError("the header authorization says neither Bearer nor Basic")

    def _bearer(self, token: bytes) -> Caller:
        if hmac.compare_digest(token, self._read_token):
            return Caller(Role.READER)
        name, _, rest = token.partition(b".")
        until, _, _ = rest.partition(b".")
        try:
            user, until_s = base64.urlsafe_b64decode(name).decode(), int(until)
        except ValueError as error:
            raise flight.FlightUnauthenticatedError("this is no token of this cluster") from error
        if not hmac.compare_digest(token, self._sign(user, until_s).encode()):
            raise flight.FlightUnauthenticatedError("this is no token of this cluster")
        if until_s < self._clock():
            raise flight.FlightUnauthenticatedError("this token was good for 12 hours: show user and password again")
        return Caller(Role.USER, user)

    def _sign(self, user: str, until_s: int) -> str:
        told = f"{base64.urlsafe_b64encode(user.encode()).decode()}.{until_s}"
        return f"{told}.{hmac.digest(self._user_key, told.encode(), 'sha256').hex()}"


class KnownCaller(flight.ServerMiddleware):  # type: ignore[misc]
    """Carries the caller to the method, and a user's new token back."""

    def __init__(self, caller: Caller, token: str = "") -> None:
        super().__init__()
        self.caller = caller
        self._token = token

    def sending_headers(self) -> dict[str, str]:
        return {AUTHORIZATION: f"Bearer {self._token}"} if self._token else {}


def _only(values: Sequence[str | bytes]) -> bytes:
    """Return the one value of a header; two would leave open which counts."""
    if len(values) != 1 or len(values[0]) > HEADER_LENGTH_MAX:
        raise flight.FlightUnauthenticatedError(f"say who you are once, in at most {HEADER_LENGTH_MAX} bytes")
    value = values[0]
    return value if isinstance(value, bytes) else value.encode(errors="surrogateescape")


def _id_of(basic: bytes) -> str:
    try:
        user, colon, password = base64.b64decode(basic, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise flight.FlightUnauthenticatedError("the header authorization holds no user:password in Base64") from error
    if not (user and colon and password):
        raise flight.FlightUnauthenticatedError("give both a user and a password")
    return digest_id(user, password)
