"""Cut keys into parts so that every process, today and next year, agrees on which part a key is in."""

import muskox as mx

# What such snippets usually get wrong: they take Python's hash(), which is salted per process, so that two workers, or the same
# worker after a restart, put the same key into different parts.

KEYS = ["hello world", "muskox", "N14228", "Žilina", ""]
PARTS = 4


def main() -> None:
    for key in KEYS:
        print(f"{key!r} is in part {mx.hash_partition(key, PARTS)} of {PARTS}")
    assert mx.hash_partition("hello world", 4) == 1  # the SHA-256 of the UTF-8 text, modulo the parts: check it by hand


if __name__ == "__main__":
    main()
