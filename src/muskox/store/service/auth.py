"""Who may talk to a node's store: both ends prove that they know the plane's key, and neither ever sends it.

The handshake, inside Flight's own: the client sends a nonce; the server answers with its nonce and HMAC(key, "server", both
nonces); the client checks that and sends HMAC(key, "client", both nonces); the server checks that and hands out a token for
the connection's calls. A token is a nonce signed with a key that the server process drew at its start, so that the server
keeps no list of them and a restarted server refuses old ones.

Whoever shall read datasets and do nothing else gets a key of its own, derived from the plane's: `flight_token`.
"""

import hmac
import secrets
from typing import Any

from pyarrow import flight

from muskox.coordination import Plane, derive

NONCE_BYTES = 32
PROOF_BYTES = 32
GREETING = b"muskox-flight-1"  # the protocol's name and version


class WrongSecret(Exception):
    """The other end does not know our key."""


def prove(key: bytes, role: bytes, client_nonce: bytes, server_nonce: bytes) -> bytes:
    """Return the proof that `role` (b"server" or b"client") knows `key`, for this one handshake."""
    return hmac.digest(key, GREETING + b"\0" + role + b"\0" + client_nonce + server_nonce, "sha256")


def flight_token(secret: bytes) -> str:
    """Return the cluster's read token: with it any Arrow Flight client reads every dataset, and does nothing else."""
    return read_token(derive(secret, Plane.FLIGHT))


def read_token(key: bytes) -> str:
    """Return the read token that belongs to the plane's `key`, which cannot be had back from it."""
    return hmac.digest(key, b"muskox-flight-read-1", "sha256").hex()


def user_key(key: bytes) -> bytes:
    """Return the key by which the nodes of a cluster sign who a user is."""
    return hmac.digest(key, b"muskox-flight-user-1", "sha256")


class ServerHandshake(flight.ServerAuthHandler):  # type: ignore[misc]
    """The server's half."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key
        self._token_key = secrets.token_bytes(32)

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        try:
            hello = bytes(incoming.read())
        except OSError:  # nothing was said: a user's password came in a header, and so does the answer (service/callers.py)
            return
        if len(hello) != len(GREETING) + NONCE_BYTES or not hello.startswith(GREETING):
            raise flight.FlightUnauthenticatedError("this is no muskox client")
        client_nonce, server_nonce = hello[len(GREETING) :], secrets.token_bytes(NONCE_BYTES)
        outgoing.write(server_nonce + prove(self._key, b"server", client_nonce, server_nonce))
        if not hmac.compare_digest(bytes(incoming.read()), prove(self._key, b"client", client_nonce, server_nonce)):
            raise flight.FlightUnauthenticatedError("wrong secret")
        nonce = secrets.token_bytes(NONCE_BYTES)
        outgoing.write(nonce + self._sign(nonce))

    def is_valid(self, token: bytes) -> bytes:
        """Return who shows this token; b"" for who shows none, whom the gate of service/callers.py lets pass or not."""
        return self.check_token(token) if token else b""

    def check_token(self, token: bytes) -> bytes:
        """Return that a member shows this token; raise FlightUnauthenticatedError for any that we did not hand out."""
        nonce, signature = bytes(token[:NONCE_BYTES]), bytes(token[NONCE_BYTES:])
        if len(nonce) != NONCE_BYTES or not hmac.compare_digest(signature, self._sign(nonce)):
            raise flight.FlightUnauthenticatedError("prove that you know the cluster's secret first")
        return b"member"

    def _sign(self, nonce: bytes) -> bytes:
        return hmac.digest(self._token_key, nonce, "sha256")


class ClientHandshake(flight.ClientAuthHandler):  # type: ignore[misc]
    """The client's half; raises WrongSecret if the server does not know the key."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key
        self._token = b""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        client_nonce = secrets.token_bytes(NONCE_BYTES)
        outgoing.write(GREETING + client_nonce)
        answer = bytes(incoming.read())
        server_nonce, proof = answer[:NONCE_BYTES], answer[NONCE_BYTES:]
        if not hmac.compare_digest(proof, prove(self._key, b"server", client_nonce, server_nonce)):
            raise WrongSecret
        outgoing.write(prove(self._key, b"client", client_nonce, server_nonce))
        self._token = bytes(incoming.read())

    def get_token(self) -> bytes:
        return self._token
