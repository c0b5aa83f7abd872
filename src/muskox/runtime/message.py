"""What every message of the runtime is: a record that carries its own name."""

import msgspec


class Message(msgspec.Struct, frozen=True, tag=True):
    """The head of a frame."""
