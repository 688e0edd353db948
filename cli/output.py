"""What is printed where: results on standard output, progress on standard error, colour only for a terminal.

Invariant: what a program reads (`-o json`, `-o yaml`) is a document and nothing else; what a pipe reads has whole
lines, never folded or shortened.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from cli.failures import CommandError, Exit, ReaderGoneError
from cli.wording import one_line, printable

Words = str | tuple[str, str] | Text
"""A piece of a line: text from anywhere, text with a style, or text that was made here."""

_GAP = "  "
_WORD = re.compile(r"\S+")
_SHORTEST = 12
_NARROWEST_PROSE = 20
_ESCAPED_IN_JSON = {code: f"\\u{code:04x}" for code in range(127, 160)}
"""JSON may hold these as they are, but some terminals take them as commands."""


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Column(NamedTuple):
    """A column of a table. On a narrow terminal those with the highest `spare` are left out first, 0 never. The last
    may be prose: then it takes the room that is left, and goes on below itself."""

    title: str
    spare: int = 0
    prose: bool = False


class _Stream(Console):
    """A Rich console that lets a closed pipe be told from a failure."""

    def on_broken_pipe(self) -> NoReturn:
        raise ReaderGoneError


class Output:
    """The two streams of a command."""

    def __init__(self, form: Format = Format.TABLE) -> None:
        self.form = form
        self.result = _Stream(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self.progress = _Stream(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

    @property
    def for_programs(self) -> bool:
        """Whether a program reads the result."""
        return self.form is not Format.TABLE

    @property
    def redraws(self) -> bool:
        """Whether progress can be drawn over itself."""
        return sys.stderr.isatty() and not self.progress.is_dumb_terminal

    @property
    def columns(self) -> int | None:
        """The columns that a result may take; None where nobody counts them."""
        return self.result.width if _is_terminal(self.result) else None

    def document(self, value: Any) -> None:
        """Print the one result of a command for a program."""
        if self.form is Format.YAML:
            self._write(_yaml(value))
        else:
            self._write(_json(value, indent=2))

    def item(self, value: Any) -> None:
        """Print one of many results as it comes: a JSON text a line, or a YAML document of a stream."""
        self._write(f"---\n{_yaml(value)}" if self.form is Format.YAML else _json(value))

    def say(self, *words: Words) -> None:
        """Print a line of the result; a terminal folds it, not we, so that it can be copied whole."""
        self.result.print(_joined(words))

    def hang(self, head: Words, *words: Words) -> None:
        """Print a line of the result that goes on, where it is too long, beside its head rather than below it."""
        beginning = _joined((head,))
        for line in self._folded(_joined(words), self.result, indent=beginning.cell_len):
            self.result.print(Text.assemble(beginning, line))
            beginning = Text(" " * beginning.cell_len)

    def note(self, *words: Words) -> None:
        """Print a line beside the result, folded between words on a terminal."""
        for line in self._folded(_joined(words), self.progress):
            self.progress.print(line)

    def error(self, error: CommandError) -> None:
        """Say what went wrong, where to read more, and last what to do next."""
        if error.code is Exit.INTERRUPTED:
            self.note(f"\n{error}")  # the terminal has written ^C where the cursor was
        else:
            self.note(("Error: ", "bold red"), str(error))
        for detail in error.details:
            self.note(f"  {detail}")
        if error.trace_id:
            self.note((f"  trace {error.trace_id}", "dim"))
        if error.remedy:
            self.note(error.remedy)

    def facts(self, facts: Iterable[tuple[str, str | Text | None]]) -> None:
        """Print `name  value` lines; facts without a value are left out. Long values go on below themselves."""
        known = [(name, _joined((value,))) for name, value in facts if value]
        width = max((cell_len(name) for name, _ in known), default=0)
        for name, value in known:
            self.hang((f"{name:<{width}}{_GAP}", "dim"), value)

    def table(self, columns: Sequence[Column], rows: Iterable[Sequence[str | Text]], *, empty: str) -> None:
        """Print rows under headings; `empty` says what to do where there are none."""
        cells = [[_cell(cell) for cell in row] for row in rows]
        if not cells:
            self.note(empty)
            return
        filled = [any(row[place] for row in cells) for place in range(len(columns))]
        cells.insert(0, [Text(column.title, style="bold") for column in columns])
        widths = [max(row[place].cell_len for row in cells) for place in range(len(columns))]
        shown = _fitting(columns, filled, widths, self.columns)
        for row in cells:
            head = Text()
            for place in shown[:-1]:
                head.append_text(row[place]).append(" " * (widths[place] - row[place].cell_len)).append(_GAP)
            if columns[shown[-1]].prose:
                self.hang(head, row[shown[-1]])
            else:
                head.append_text(row[shown[-1]]).rstrip()
                self.result.print(head)

    def _folded(self, text: Text, console: Console, indent: int = 0) -> Iterable[Text]:
        """The lines of `text`, on a terminal folded between words; a word longer than a line stays whole."""
        if not _is_terminal(console):
            return text.split(allow_blank=True)
        width = max(console.width - indent, _SHORTEST)
        return [part for line in text.split(allow_blank=True) for part in _fold(line, width)]

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error


def drop_output() -> None:
    """Let what is still buffered go nowhere, now that nobody reads it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _is_terminal(console: Console) -> bool:
    """Whether somebody reads lines of limited width there. Rich's own answer counts FORCE_COLOR, which may be set for a
    pipe."""
    return console.file.isatty()


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False).translate(_ESCAPED_IN_JSON) + "\n"


def _yaml(value: Any) -> str:
    import yaml  # noqa: PLC0415 - most invocations, and every completion, do without it

    # PyYAML writes U+0085 as it is, and reads it back as a space: where it occurs, everything odd is escaped.
    readable = "\x85" not in json.dumps(value, ensure_ascii=False)
    return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=readable))


def _joined(words: Sequence[Words]) -> Text:
    line = Text()
    for piece in words:
        if isinstance(piece, Text):
            line.append_text(piece)
        elif isinstance(piece, tuple):
            line.append(printable(piece[0]), style=piece[1])
        else:
            line.append(printable(piece))
    return line


def _cell(value: str | Text) -> Text:
    return value if isinstance(value, Text) else Text(one_line(value))


def _fitting(
    columns: Sequence[Column], filled: Sequence[bool], widths: Sequence[int], available: int | None
) -> list[int]:
    """The places of the columns that are shown where there is room for `available` characters: those that say
    something, the most important first."""
    if available is None:
        return list(range(len(columns)))
    shown: list[int] = []
    left = available + len(_GAP)
    for place in sorted(range(len(columns)), key=lambda place: columns[place].spare):
        least = (min(widths[place], _NARROWEST_PROSE) if columns[place].prose else widths[place]) + len(_GAP)
        if columns[place].spare == 0 or (filled[place] and left >= least):
            shown.append(place)
            left -= least
    return sorted(shown)


def _fold(line: Text, width: int) -> Iterable[Text]:
    """Fold between words. Rich would cut an address that is longer than a line."""
    text = line.plain
    breaks: list[int] = []
    start = 0
    for word in _WORD.finditer(text):
        if cell_len(text[start : word.end()]) > width and text[start : word.start()].strip():
            start = word.start()
            breaks.append(start)
    parts = line.divide(breaks)
    for part in parts:
        part.rstrip()
    return parts
