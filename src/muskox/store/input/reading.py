"""How a caller wants input read: the format, the dialect of CSV, where temporary files may lie, whom to tell how far it is."""

import codecs
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from muskox.errors import CallerError
from muskox.store.input.text import MISSING_SPELLINGS

FORMATS = ("csv", "jsonl", "parquet", "arrow")
TAB_ENDINGS = (".tsv", ".tab")


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read input that does not say it itself; what is about CSV is ignored for other formats.

    format : "csv", "jsonl", "parquet" or "arrow"; None means told by each file's first bytes and ending
    delimiter : between values, one ASCII character; None means a comma, or a tab where the file's name ends in .tsv or .tab
    quote : around values, one ASCII character, doubled within; None means that values are never quoted
    escape : the character that makes the next one plain; None means that there is none
    header : whether the first line names the columns (if not they are x0, x1, ...), or their names where no line does
    missing : the unquoted spellings of a missing value
    encoding : of text; nothing but UTF-8 is read
    folder : where temporary files may lie; None means the system's place
    on_columns : called with the columns' names as soon as they are known, if that is before the rows have been looked at: what
        it raises saves a long look
    progress : called now and then from the thread that opens the source, with "looking", bytes done and bytes in all
    """

    format: str | None = None
    delimiter: str | None = None
    quote: str | None = '"'
    escape: str | None = None
    header: bool | tuple[str, ...] = True
    missing: tuple[str, ...] = MISSING_SPELLINGS
    encoding: str = "utf-8"
    folder: Path | None = None
    on_columns: Callable[[Sequence[str]], object] | None = None
    progress: Callable[[str, int, int], None] | None = None

    def check(self) -> None:
        """Raise CallerError at a setting that breaks a rule."""
        if self.format is not None and self.format not in FORMATS:
            raise CallerError(f"{self.format!r} is no format that is read: the formats are {', '.join(FORMATS)}")
        marks = {"delimiter": self.delimiter, "quote": self.quote, "escape": self.escape}
        for name, mark in marks.items():
            if mark is not None and (len(mark) != 1 or not mark.isascii() or mark in "\r\n\0"):
                raise CallerError(f"the {name} {mark!r} must be one ASCII character other than a line's end")
        used = [mark for mark in marks.values() if mark is not None]
        if len(set(used)) < len(used):
            raise CallerError(f"delimiter, quote and escape must differ: they are {', '.join(map(repr, used))}")
        try:
            encoding = codecs.lookup(self.encoding).name
        except LookupError:
            encoding = ""
        if encoding not in ("utf-8", "utf-8-sig", "ascii"):
            raise CallerError(f"encoding {self.encoding!r}: only UTF-8 is read; convert first, with iconv -t utf-8, say")

    def name_columns(self, names: Sequence[str]) -> None:
        if self.on_columns is not None:
            self.on_columns(names)

    def tell(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress("looking", done, total)


USUAL = Reading()
