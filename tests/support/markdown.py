"""What the documentation holds, read without a Markdown library: fenced lines, links, headings.

Enough of CommonMark for our own files; a construct that is not understood here is not used there.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

_FENCE = re.compile(r"^ {0,3}(```+|~~~+)\s*(\S*)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$")
_LINK = re.compile(r"\[[^\]]*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(\S+)")
_SHELLS = {"bash", "console", "sh", "shell"}
_END_OF_COMMAND = {"|", "||", "&&", ";", ">", ">>", "<", "&", "2>"}


class Line(NamedTuple):
    """One line of a file: its number from 1, its text, and the language of its fence if in one."""

    number: int
    text: str
    language: str | None


def documents() -> list[Path]:
    """Every Markdown file of ours that a reader is pointed to."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def name(document: Path) -> str:
    """The path of a document from the project's root, for test ids and messages."""
    return document.relative_to(ROOT).as_posix()


def lines(text: str) -> Iterator[Line]:
    """The lines of a document without its fence markers."""
    fence = language = None
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if fence is None and match:
            fence, language = match[1], match[2]
        elif fence is not None and line.strip() == fence:
            fence = language = None
        else:
            yield Line(number, line, language)


def anchors(text: str) -> set[str]:
    """The fragments that the headings of a document define, as GitHub makes them."""
    found: set[str] = set()
    for line in lines(text):
        match = _HEADING.match(line.text)
        if match and line.language is None:
            slug = re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
            taken = sum(slug == a or re.fullmatch(rf"{slug}-\d+", a) is not None for a in found)
            found.add(f"{slug}-{taken}" if taken else slug)
    return found


def links(text: str) -> Iterator[tuple[int, str]]:
    """`(line number, target)` of every link and image outside fences and code spans."""
    for line in lines(text):
        if line.language is None:
            for match in _LINK.finditer(re.sub(r"`[^`]*`", "", line.text)):
                yield line.number, match[1] or match[2]


def commands(text: str, program: str) -> Iterator[tuple[int, list[str]]]:
    """`(line number, words after the program)` of every call of a program in a fenced block.

    In shell blocks words end at a pipe, redirection or comment; `$ ` before a command, variables
    set for it and a path before the program's name are passed over. A `console` block shows output
    too: there only lines with `$ ` are commands.
    """
    pending, start = "", 0
    for line in lines(text):
        if line.language not in _SHELLS:
            continue
        prompt = line.text.lstrip().startswith("$ ")
        if not pending and line.language == "console" and not prompt:
            continue
        if not pending:
            start = line.number
        pending += line.text.strip().removeprefix("$ ")
        if pending.endswith("\\"):
            pending = pending.removesuffix("\\")
            continue
        for words in _simple_commands(pending):
            if words[0].rsplit("/", 1)[-1] == program:
                yield start, words[1:]
        pending = ""


def _simple_commands(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += ":,@%+"
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word not in _END_OF_COMMAND:
            words.append(word)
            continue
        # `TZ=UTC batonics ...` sets a variable for the command.
        while words and re.match(r"\w+=", words[0]):
            words.pop(0)
        if words:
            yield words
        words = []
