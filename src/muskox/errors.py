"""Who is at fault: the exceptions that may leave a room, one class for each answer to "what now?".

Every message is one sentence that names what, where and what to do about it.
"""


class MuskoxError(Exception):
    """The base of every error that muskox raises on purpose."""


class CallerError(MuskoxError, ValueError):
    """You called it wrongly, or your data breaks a rule: fix the call or the data."""


class PeerError(MuskoxError):
    """The other end of a connection broke the protocol: drop it."""


class Corrupt(MuskoxError):
    """Bytes are not what was written: stop, and use another copy."""


class Unavailable(MuskoxError):
    """Something that is needed cannot be reached now: try again later."""
