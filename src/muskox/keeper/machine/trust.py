"""Who a connection proves to be: the proofs that clients bring, judged.

What a connection has proved stands in its `identities`. It owns the challenges of SASL that wait for their response.
"""

from typing import NamedTuple

from muskox.errors import PeerError
from muskox.keeper.machine.acl import ALWAYS_KNOWN, SUPER, digest_identity
from muskox.keeper.machine.connection import Connection
from muskox.keeper.machine.sasl import challenge, nonce_of, verify
from muskox.keeper.machine.settings import Settings
from muskox.keeper.wire.jute import codec, encode
from muskox.keeper.wire.opcodes import ErrorCode, OpCode
from muskox.keeper.wire.records import BODY_AT, AuthPacket, Id, SaslToken

AUTH_PACKET = codec(AuthPacket)
SASL_TOKEN = codec(SaslToken)
SUPER_ID = Id(SUPER, "")
PROOFS = frozenset((int(OpCode.AUTH), int(OpCode.SASL)))  # requests that bring a proof


class Judgement(NamedTuple):
    """What to answer to a proof; anything but OK ends the connection."""

    code: ErrorCode
    body: bytes = b""


class Trust:
    """Judges proofs of identity."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.passwords = dict(settings.users)
        self.known = ALWAYS_KNOWN  # schemes
        if self.passwords:
            self.known |= {"sasl"}
        if settings.x509:
            self.known |= {"x509"}
        self.challenges = 0  # how many were given out
        self.nonces: dict[int, bytes] = {}  # by connection, the challenge that waits for its response; empty after it

    def meet(self, connection: Connection) -> None:
        """Take note of a new connection, with what its certificate has proved."""
        connection.known_schemes = self.known
        if any(each.scheme == "x509" and each.id == self.settings.x509_super_user for each in connection.identities):
            connection.prove(Id(SUPER, self.settings.x509_super_user))
        self.look_again(connection)

    def forget(self, number: int) -> None:
        """Forget a connection that is gone."""
        self.nonces.pop(number, None)

    def judge(self, connection: Connection, kind: int, frame: bytes) -> Judgement:
        """Take the proof in `frame`.

        Raises
        ------
        PeerError
            If the frame holds none.
        """
        if kind == OpCode.SASL:
            judgement = self.judge_sasl(connection, SASL_TOKEN.decode(frame, BODY_AT).token)
        else:
            judgement = Judgement(self.judge_auth(connection, AUTH_PACKET.decode(frame, BODY_AT)))
        self.look_again(connection)
        return judgement

    def look_again(self, connection: Connection) -> None:
        """See whether a connection must still prove who it is before anything else is answered."""
        required = self.settings.schemes_required
        connection.must_prove = bool(required) and not any(each.scheme in required for each in connection.identities)

    def judge_auth(self, connection: Connection, packet: AuthPacket) -> ErrorCode:
        match packet.scheme:
            case "digest" if packet.auth is not None:
                identity = digest_identity(packet.auth)
                is_super = identity.id == self.settings.super_digest
                is_taken = connection.prove(identity) and (not is_super or connection.prove(SUPER_ID))
            case "ip":  # what it proves is known since the connection was opened
                is_taken = True
            case "x509":  # the same
                is_taken = any(each.scheme == "x509" for each in connection.identities)
            case _:
                is_taken = False
        return ErrorCode.OK if is_taken else ErrorCode.AUTH_FAILED

    def judge_sasl(self, connection: Connection, token: bytes | None) -> Judgement:
        """Take a step of SASL: the first asks for a challenge, the second answers it; there is no third.

        Raises
        ------
        PeerError
            If the token is null.
        """
        if token is None:
            raise PeerError("null where a token of SASL is needed")
        if not self.passwords:
            return Judgement(ErrorCode.OK, encode(SaslToken(None)))
        nonce = self.nonces.get(connection.number)
        if nonce is None:  # whatever came with it is ignored, as Java does
            self.challenges += 1
            nonce = self.nonces[connection.number] = nonce_of(self.settings.nonce_key, self.challenges)
            return Judgement(ErrorCode.OK, encode(SaslToken(challenge(nonce))))
        self.nonces[connection.number] = b""
        proved = verify(token, nonce, self.passwords) if nonce else None
        if proved is not None:
            user, proof = proved
            is_super = user in self.settings.sasl_super_users
            if connection.prove(Id("sasl", user)) and (not is_super or connection.prove(SUPER_ID)):
                return Judgement(ErrorCode.OK, encode(SaslToken(proof)))
        if "sasl" in self.settings.schemes_required:
            return Judgement(ErrorCode.SESSION_CLOSED_REQUIRE_SASL_AUTH, encode(SaslToken(None)))
        code = ErrorCode.OK if self.settings.sasl_failures_allowed else ErrorCode.AUTH_FAILED
        return Judgement(code, encode(SaslToken(None)))
