"""The texts, quoted names and comments of a statement of SQL.

The rule here: one pass over the statement, whatever it has: a text or a comment without an end goes
to the end of the statement, which DuckDB then refuses.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_OPENING = re.compile(r"""['"]|--|/\*|(?<![\w$])\$(?:[^\W\d]\w*)?\$""")
_CLOSING = {"--": "\n", "/*": "*/"}


class SqlToken(NamedTuple):
    """A text, a quoted name or a comment.

    Attributes:
        start: its place in the statement.
        text: the token with its quotes.
        is_comment: it is a comment; else a text or a quoted name.
    """

    start: int
    text: str
    is_comment: bool

    @property
    def end(self) -> int:
        """The place after it."""
        return self.start + len(self.text)


def sql_tokens(sql: str) -> Iterator[SqlToken]:
    """The tokens of a statement, in order; in none of them anything else begins.

    The end of the line is no part of a comment that begins with `--`.
    """
    at = 0
    while found := _OPENING.search(sql, at):
        opening = found[0]
        closing = _CLOSING.get(opening, opening)
        # Two quotes within a text are one of its letters; here they end a token and begin another.
        stop = sql.find(closing, found.end())
        if opening == "--":
            at = len(sql) if stop < 0 else stop
        else:
            at = len(sql) if stop < 0 else stop + len(closing)
        yield SqlToken(found.start(), sql[found.start() : at], opening in _CLOSING)


def without_comments(sql: str) -> str:
    """The statement with a space in the place of each comment."""
    return _replace_tokens(sql, texts=True)


def without_tokens(sql: str) -> str:
    """The statement with a space in the place of each comment, text and quoted name."""
    return _replace_tokens(sql, texts=False)


def _replace_tokens(sql: str, *, texts: bool) -> str:
    pieces, end = [], 0
    for token in sql_tokens(sql):
        kept = token.text if texts and not token.is_comment else " "
        pieces += [sql[end : token.start], kept]
        end = token.end
    return "".join([*pieces, sql[end:]])
