"""The rules for znode paths, as Apache has them, and where a path's parent is."""

import re

ROOT = "/"
ZOOKEEPER = "/zookeeper"
QUOTA = "/zookeeper/quota"
QUOTA_PREFIX = "/zookeeper/quota/"
LIMITS, STATS = "zookeeper_limits", "zookeeper_stats"  # the names of the two znodes of a quota
CONFIG = "/zookeeper/config"
SPECIAL = (ROOT, ZOOKEEPER, QUOTA, CONFIG)  # never deleted

# Apache looks at UTF-16 units, so that whatever needs a surrogate is refused with the surrogates.
BANNED_LETTERS = "\u0000-\u001f\u007f-\u009f\ud800-\uf8ff\ufff0-\U0010ffff"
BANNED = re.compile(f"[{BANNED_LETTERS}]")
RELATIVE = re.compile(r"/\.\.?(/|$)")
# What :func:`find_fault` finds no fault with, but for the root: in one look, for the hot path.
VALID = re.compile(f"(?:/(?!\\.\\.?(?:/|$))[^/{BANNED_LETTERS}]+)+")


def parent_of(path: str) -> str:
    """Return the path of the parent; that of a child of the root is "/"."""
    return path[: path.rfind("/")] or ROOT


def name_of(path: str) -> str:
    return path[path.rfind("/") + 1 :]


def find_fault(path: str) -> str | None:
    """Return why `path` is no valid path, or None if it is one."""
    if not path.startswith("/"):
        return f"{path!r} does not start with /"
    if path == ROOT:
        return None
    if path.endswith("/"):
        return f"{path!r} ends with /"
    if "//" in path:
        return f"{path!r} has an empty name in it"
    if RELATIVE.search(path):
        return f"{path!r} is relative"
    banned = BANNED.search(path)
    if banned:
        return f"{path!r} has a character at {banned.start()} that no path may have"
    return None
