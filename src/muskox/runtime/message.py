"""What every message of the runtime is, and what its body may lie in."""

import msgspec

Buffer = bytes | bytearray | memoryview


class Message(msgspec.Struct, frozen=True, tag=True):
    """The head of a frame: a record that carries its own name."""
