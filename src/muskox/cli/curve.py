"""A curve in a terminal: values by round in Braille dots, four by two to a character, and marks where something happened."""

from collections.abc import Collection, Sequence

from rich.text import Text

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # Unicode's bit for (row, column) of a character
BLANK = 0x2800
MARK = "┊"


def plot(values: Sequence[float], width: int, height: int, marks: Collection[int] = ()) -> list[Text]:
    """Return `height` lines of `width` characters; `marks` are indexes of values at which a line is drawn.

    More values than dots are thinned: each column of dots shows the span of the values that fall on it.
    """
    columns, rows = 2 * width, 4 * height
    cells = [[BLANK] * width for _ in range(height)]
    least, most = (min(values), max(values)) if values else (0.0, 0.0)
    span = (most - least) or 1.0
    scale = min(1.0, columns / max(len(values), 1)) if len(values) > columns else 1.0
    before = 0
    for index, value in enumerate(values):
        x = min(int(index * scale), columns - 1)
        y = round((most - value) / span * (rows - 1))
        low, high = (y, y) if index == 0 else (min(before, y), max(before, y))
        for dot in range(low, high + 1):
            cells[dot // 4][x // 2] |= DOTS[dot % 4][x % 2]
        before = y
    marked = {min(int(index * scale), columns - 1) // 2 for index in marks}
    return [_line(row, marked) for row in cells]


def _line(cells: Sequence[int], marked: Collection[int]) -> Text:
    line = Text()
    for column, cell in enumerate(cells):
        if cell == BLANK and column in marked:
            line.append(MARK, "red")
        else:
            line.append(chr(cell), "red" if column in marked else "cyan")
    return line


def chart(values: Sequence[float], width: int, height: int, marks: Collection[int] = ()) -> list[Text]:
    """Return the plot with the greatest and the least value beside it."""
    lines = plot(values, max(width - 9, 10), height, marks)
    labels = [""] * height
    if values:
        labels[0], labels[-1] = f"{max(values):.4f}", f"{min(values):.4f}"
    return [Text(f"{label:>7} │", "dim").append_text(line) for label, line in zip(labels, lines, strict=True)]
