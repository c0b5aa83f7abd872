"""What a command of the shell is: its words, its help, what it answers, and the place it runs at.

An answer is a value for scripts and lines for people; whoever runs the command decides which of them is written.
"""

import argparse
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException
from rich.text import Text

from muskox.cli import zk_client
from muskox.errors import CallerError, MuskoxError, Unavailable

AHEAD_MAX = 256  # questions on their way at once: a tree is read in as few turns as it has levels, within bounded memory
RECONNECT_WAIT_S = 15.0


@dataclass(slots=True)
class Place:
    """A connection, the chroot below which all paths lie, and the path that relative ones start at."""

    client: KazooClient
    name: str
    chroot: str = ""
    here: str = "/"

    def resolve(self, path: str | None) -> str:
        """Return the path that a user means: from `here` unless it begins with a slash, with . and .. taken away."""
        return "/" + posixpath.normpath(posixpath.join(self.here, path or ".")).strip("/")

    def full(self, path: str) -> str:
        """Return a path as the server knows it."""
        return (self.chroot + path).rstrip("/") or "/"

    def local(self, full: str) -> str:
        """Return a path of the server as it is called below the chroot."""
        if full != self.chroot and not full.startswith(f"{self.chroot}/"):
            return full
        return full[len(self.chroot) :] or "/"

    def walk(self, top: str) -> Iterator[str]:
        """Yield `top` and all below, parents before children, siblings sorted; what goes away meanwhile is left out.

        Raises
        ------
        NoNodeError
            If `top` is not there.
        """
        for path, _ in self.levels(top):
            yield path

    def levels(self, top: str) -> Iterator[tuple[str, tuple[bool, ...]]]:
        """Yield what :meth:`walk` does, and of each ancestor below `top` and the path itself, whether it is the last child."""
        names = sorted(self.client.get_children(self.full(top)))
        yield top, ()
        stack = [self.families(top, names, ())]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
                continue
            path, lasts, below = found
            yield path, lasts
            if below:
                stack.append(self.families(path, below, lasts))

    def families(
        self, parent: str, names: list[str], lasts: tuple[bool, ...]
    ) -> Iterator[tuple[str, tuple[bool, ...], list[str]]]:
        """Yield each child of `parent`, and its own children; they are asked for ahead."""
        from kazoo.exceptions import NoNodeError

        for start in range(0, len(names), AHEAD_MAX):
            paths = [posixpath.join(parent, name) for name in names[start : start + AHEAD_MAX]]
            asked = [self.client.get_children_async(self.full(path)) for path in paths]
            for index, (path, answer) in enumerate(zip(paths, asked, strict=True), start):
                try:
                    below = sorted(answer.get())
                except NoNodeError:
                    continue
                yield path, (*lasts, index == len(names) - 1), below


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command found or did: `value` becomes JSON, `lines` are for people. Of an iterator only one is ever read."""

    value: dict[str, Any] = field(default_factory=dict)
    lines: Iterable[str | Text] = ()


Run = Callable[[Place, Any], Answer | None]
Words = tuple[tuple[str, ...], dict[str, Any]]


def word(*names: str, **how: Any) -> Words:
    """Return one argument or option of a command, as argparse takes it."""
    return names, how


PATH = word("path", metavar="PATH")
PATH_OR_HERE = word("path", metavar="PATH", nargs="?")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: `run` gets the place and the parsed words."""

    name: str
    run: Run
    summary: str
    words: tuple[Words, ...] = ()
    examples: tuple[str, ...] = ()

    def parser(self) -> "Parser":
        parser = Parser(prog=self.name, add_help=False, allow_abbrev=False)
        for names, how in (*self.words, word("--json", action="store_true", help="print JSON for scripts")):
            parser.add_argument(*names, **how)
        return parser

    @property
    def options(self) -> list[str]:
        return sorted(["--json", *(name for names, _ in self.words for name in names if name.startswith("-"))])

    @property
    def usage(self) -> str:
        """Return the command with its arguments, on one line."""
        return " ".join(self.parser().format_usage().removeprefix("usage: ").replace(" [--json]", "").split())


class Parser(argparse.ArgumentParser):
    """A parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise CallerError(f"{message}; it is used so: {' '.join(self.format_usage().removeprefix('usage: ').split())}")


def explain(error: KazooException, place: Place, path: str) -> MuskoxError:
    """Return what a refusal of the server means, as one sentence."""
    if isinstance(error, zk_client.LOST):
        return Unavailable("the connection was lost before the answer came: whether it was done is not known")
    kind = type(error).__name__
    if kind == "NoNodeError" and place.chroot and place.client.exists(place.chroot) is None:
        return CallerError(f"the chroot {place.chroot} does not exist: connect without it, and `create -p {place.chroot}`")
    sentences = {
        "NoNodeError": f"there is no znode {path}",
        "NodeExistsError": f"{path} exists already",
        "NotEmptyError": f"{path} has children: `rm -r` deletes them too",
        "NoAuthError": f"the ACL of {path} does not allow it: show who you are with `auth digest user:password`",
        "NoChildrenForEphemeralsError": f"the parent of {path} is ephemeral, and those have no children",
        "InvalidACLError": "the server does not take this ACL: scheme or id is wrong, or there is no identity for `auth`",
        "QuotaExceededError": f"it would exceed a quota that {path} lies under: `quota get` tells it",
        "BadArgumentsError": f"{path} is not a path that can be used so",
        "UnimplementedError": "this server does not know that request",
        "AuthFailedError": "the server does not accept this identity, and ends the session",
        "MarshallingError": "the server could not read the request",
        "NotReadOnlyCallError": "this server is read-only now",
    }
    return CallerError(sentences.get(kind, f"the server answers {kind.removesuffix('Error')} for {path}"))
