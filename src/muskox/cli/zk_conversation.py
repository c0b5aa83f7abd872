"""Running the shell's commands: one, a script of them, or a conversation with completion and history.

A line is split as a POSIX shell splits it. In a script the first error ends it, and is told with its line; in a conversation
an error is told, and the next line is asked for.
"""

import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kazoo.exceptions import KazooException
from rich.text import Text

from muskox.cli import screen
from muskox.cli.keeper import printable
from muskox.cli.zk_client import wait_connected
from muskox.cli.zk_command import RECONNECT_WAIT_S, Answer, Place, explain
from muskox.cli.zk_reading import READING
from muskox.cli.zk_watch import WATCHING
from muskox.cli.zk_writing import WRITING
from muskox.errors import CallerError, MuskoxError

HELP, EXIT = "help", "exit"
COMMANDS = {command.name: command for command in (*READING, *WATCHING, *WRITING)}
# What people type who know Apache's shell.
ALIASES = {
    "deleteall": ("rm", "-r"),
    "delete": ("rm",),
    "addauth": ("auth",),
    "getAcl": ("acl", "get"),
    "setAcl": ("acl", "set"),
    "listquota": ("quota", "get"),
    "setquota": ("quota", "set"),
    "delquota": ("quota", "rm"),
    "quit": (EXIT,),
    "?": (HELP,),
}
HISTORY_LINES_MAX = 1_000
COMPLETION_WAIT_S = 2.0
LOOKED_INTO_MAX = 64  # of so many names that fit, completion also looks which have children
JSON = "--json"


def find_readline() -> Any:
    """Return the module, or None: a Python without it has neither history nor completion."""
    try:
        import readline
    except ImportError:
        return None
    return readline


readline = find_readline()


def expand(words: list[str]) -> list[str]:
    return [*ALIASES.get(words[0], (words[0],)), *words[1:]]


def is_command(word: str) -> bool:
    return expand([word])[0] in (*COMMANDS, HELP, EXIT)


def is_help(words: list[str]) -> bool:
    return bool(words) and expand(words)[0] == HELP


def run(place: Place, words: list[str], json_: bool = False) -> None:
    """Run one command and write its answer.

    Raises
    ------
    MuskoxError
        If there is no such command, it is used wrongly, or the server refuses: a sentence that cannot steer a terminal.
    """
    try:
        answer_to(place, expand(words), json_)
    except MuskoxError as error:
        raise type(error)(printable(str(error))) from error


def answer_to(place: Place, words: list[str], json_: bool) -> None:
    name, *rest = words
    if name == HELP:
        print_help(rest)
        return
    if name not in COMMANDS:
        raise CallerError(f"there is no command {name!r}: `help` lists them")
    command = COMMANDS[name]
    given = command.parser().parse_args([JSON, *rest] if json_ else rest)
    wait_connected(place.client, RECONNECT_WAIT_S)
    try:
        answer = command.run(place, given)
        if answer is not None:
            write(answer, given.json)
    except KazooException as error:
        path = getattr(given, "path", None)
        raise explain(error, place, place.resolve(path)) from error


def write(answer: Answer, json_: bool) -> None:
    if json_:
        screen.print_json({name: list(value) if isinstance(value, Iterator) else value for name, value in answer.value.items()})
        return
    console = screen.output()
    for line in answer.lines:
        if isinstance(line, Text):
            console.print(line, soft_wrap=True)
        else:
            sys.stdout.write(f"{printable(line)}\n")
    sys.stdout.flush()


def print_help(words: list[str]) -> None:
    if not words:
        print_commands()
        return
    name = expand(words)[0]
    if name not in COMMANDS:
        raise CallerError(f"there is no command {name!r}: `help` lists them")
    command = COMMANDS[name]
    console = screen.output()
    console.print(Text(command.usage, "bold"))
    screen.say(f"  {command.summary}\n")
    options = [(", ".join(names), how.get("metavar", ""), how["help"]) for names, how in command.words if "help" in how]
    options.append((JSON, "", "print JSON for scripts"))
    width = max(len(f"{names} {metavar}") for names, metavar, _ in options) + 2
    for names, metavar, text in options:
        console.print(Text(f"  {f'{names} {metavar}':{width}}{text}"), soft_wrap=True)
    console.print(Text("\nexamples:", "bold"))
    for example in command.examples:
        console.print(Text(f"  {example}"), soft_wrap=True)


def print_commands() -> None:
    rows = [(command.usage, command.summary) for command in COMMANDS.values()]
    rows += [("help [COMMAND]", "show this, or a command with its options and examples"), (EXIT, "leave; so does Ctrl-D")]
    width = max(len(name.split(" ")[0]) for name, _ in rows) + 2
    console = screen.output()
    for usage, summary in rows:
        console.print(Text.assemble((f"{usage.split(' ')[0]:{width}}", "bold"), summary), soft_wrap=True)


# -- scripts ----------------------------------------------------------------------------------------------------------------


def run_script(place: Place, lines: Iterable[str], json_: bool) -> None:
    """Run a command a line; empty lines and what follows a # that begins a word are skipped.

    Raises
    ------
    MuskoxError
        What a command raised, with the number of its line; no line after it is run.
    """
    for number, line in enumerate(lines, 1):
        try:
            words = split(line)
            if words and expand(words)[0] == EXIT:
                return
            if words:
                run(place, words, json_)
        except MuskoxError as error:
            raise type(error)(f"line {number}: {error}") from error


def split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise CallerError(f"a quote is not closed: {printable(line.strip())}") from error


# -- conversation -----------------------------------------------------------------------------------------------------------


def converse(place: Place, json_: bool) -> None:
    """Ask for commands until `exit` or the end of the input."""
    with line_editing(place):
        session = place.client.client_id[0] if place.client.client_id else 0
        screen.tell(f"connected to {place.name}, session {session:#x}; `help` lists the commands, Tab completes, Ctrl-D leaves")
        if place.chroot and place.client.exists(place.chroot) is None:
            screen.tell(f"the chroot {place.chroot} does not exist: `create /` makes it")
        while True:
            try:
                line = input(prompt(place))
            except EOFError:
                sys.stdout.write("\n")
                return
            except KeyboardInterrupt:
                sys.stdout.write("\n")
                continue
            try:
                words = split(line)
                remember(line, words)
                if words and expand(words)[0] == EXIT:
                    return
                if words:
                    run(place, words, json_)
            except KeyboardInterrupt:
                sys.stdout.write("\n")
            except MuskoxError as error:
                screen.progress().print(Text(str(error), "red"), soft_wrap=True)


def prompt(place: Place) -> str:
    text = f"{place.name}{place.chroot} {printable(place.here)}"
    if not place.client.connected:
        text += " (not connected)"
    if readline is None or not screen.output().is_terminal or screen.output().no_color:
        return f"{text}> "
    return f"\001\033[36m\002{text}>\001\033[0m\002 "  # readline must not count what moves no cursor


def remember(line: str, words: list[str]) -> None:
    """Keep a line in the history, unless it may hold a password or begins with a space."""
    if readline is not None and words and not line.startswith(" ") and expand(words)[0] != "auth":
        last = readline.get_current_history_length()
        if not last or readline.get_history_item(last) != line:
            readline.add_history(line)


def history_file() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "muskox" / "zk_history"


@contextlib.contextmanager
def line_editing(place: Place) -> Iterator[None]:
    """Complete and remember lines for the time of a conversation; the history is nobody else's to read."""
    if readline is None:
        yield
        return
    file = history_file()
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        readline.read_history_file(file)
    readline.set_auto_history(False)
    readline.set_history_length(HISTORY_LINES_MAX)
    readline.set_completer_delims(" \t\n")
    readline.set_completer(Completer(place))
    is_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if is_libedit else "tab: complete")
    try:
        yield
    finally:
        readline.set_completer(None)
        with contextlib.suppress(OSError):
            file.touch(mode=0o600)
            readline.write_history_file(file)


class Completer:
    """What may stand where the cursor is: a command first, then its options, its actions, and znodes."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.found: list[str] = []

    def __call__(self, text: str, index: int) -> str | None:
        """Return the candidate at `index`, as readline asks for them."""
        if index == 0:
            before = readline.get_line_buffer()[: readline.get_begidx()]
            self.found = self.candidates(before.split(), text)
        return self.found[index] if index < len(self.found) else None

    def candidates(self, before: list[str], text: str) -> list[str]:
        if not before or before == [HELP]:
            return [f"{name} " for name in (*sorted(COMMANDS), HELP, EXIT) if name.startswith(text)]
        command = COMMANDS.get(expand(before)[0])
        if command is None:
            return []
        if text.startswith("-"):
            return [f"{option} " for option in command.options if option.startswith(text)]
        actions = [how["choices"] for names, how in command.words if names == ("action",)]
        if actions and len(expand(before)) == 1:
            return [f"{action} " for action in actions[0] if action.startswith(text)]
        return self.znodes(text)

    def znodes(self, text: str) -> list[str]:
        """Return the paths that begin with `text`; those with children end in a slash."""
        stem, slash, start = text.rpartition("/")
        place = self.place
        parent = place.resolve(stem + slash)
        try:
            names = place.client.get_children_async(place.full(parent)).get(timeout=COMPLETION_WAIT_S)
            fitting = sorted(name for name in names if name.startswith(start))
            if len(fitting) > LOOKED_INTO_MAX:
                return [f"{stem}{slash}{name}" for name in fitting]
            below = parent.rstrip("/")
            asked = [place.client.exists_async(place.full(f"{below}/{name}")) for name in fitting]
            stats = [answer.get(timeout=COMPLETION_WAIT_S) for answer in asked]
        except (KazooException, place.client.handler.timeout_exception):
            return []
        ends = ["/" if stat is not None and stat.numChildren else " " for stat in stats]
        return [f"{stem}{slash}{name}{end}" for name, end in zip(fitting, ends, strict=True)]
