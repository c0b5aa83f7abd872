"""Who a connection proves to be: the auth packets of a client, judged.

Schemes: digest and ip; what a connection has proved stands in its `identities`.
"""

from muskox.keeper.machine.acl import digest_identity
from muskox.keeper.machine.connection import Connection
from muskox.keeper.machine.settings import Settings
from muskox.keeper.wire.opcodes import ErrorCode
from muskox.keeper.wire.records import AuthPacket


class Trust:
    """Judges proofs of identity."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prove(self, connection: Connection, packet: AuthPacket) -> ErrorCode:
        """Take the proof in `packet`; anything but OK ends the connection."""
        if packet.scheme == "digest" and packet.auth is not None:
            connection.prove(digest_identity(packet.auth))
        elif packet.scheme != "ip":  # what ip could prove is known since the connection was opened
            return ErrorCode.AUTH_FAILED
        return ErrorCode.OK
