"""A query with a header: the question that it answers, its parameters and its columns.

The rule here: values are checked against the header before anything runs, and reach DuckDB as
values, never as text of the statement.

    -- title: Spread by hour
    -- question: How wide is the quoted spread over the day?
    -- reads: mbp_1
    -- param: tau DURATION = 5s  how long after each trade the mid is taken
    -- column: hour BIGINT  hour of the day, UTC
    -- source: where the definition is from
    SELECT ...

A line that begins with `--` and three spaces continues the line before it. `title`, `question`,
`reads` and `source` occur once, `param` and `column` once for each parameter and column. A
parameter without a default is required. Blank lines, comments and `#!` may come before the header
and within it. A line of the header after the beginning of the statement, or with a key that is
nearly a key of the header, is an error: what looks like a header is never a comment.

`parameter_types.py` has the types of parameters.

A query with a header computes with prices as BIGINT of 1e-9, and columns of these types get the
unit that is asked for. The other types of columns are DuckDB's.

| type of a column | type in DuckDB     |                                                         |
|------------------|--------------------|---------------------------------------------------------|
| PRICE            | BIGINT of 1e-9     | a price, or a difference of prices                      |
| MID              | DOUBLE of 1e-9     | a mid, or a difference of mids: a multiple of 0.5       |
| PRICE_DOUBLE     | DOUBLE of 1e-9     | a mean of prices, or prices per unit of size            |
| TIMESTAMP        | TIMESTAMP_NS       | a time in UTC                                           |

A text without a header is a query too; its parameters are VARCHAR on the command line.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from batonics.frames.columns.prices import PriceKind
from batonics.frames.scan.sessions import SessionCalendar
from batonics.lake.parameter_types import PARAMETER_TYPES
from batonics.lake.sql_tokens import sql_tokens
from batonics.model.errors import InputError, UsageError

SQL_SUFFIX = ".sql"

_HEADER_LINE = re.compile(r"\s*--\s*(\w+):\s*(.*)")
_CONTINUATION = re.compile(r"\s*--   \s*(\S.*)")
_COMMENT = re.compile(r"\s*(?:--.*)?")
_PARAM = re.compile(r"(\w+)\s+([A-Z]+)(?:\s*=\s*('(?:[^']|'')*'|\S+))?(?:\s+(.*))?", re.DOTALL)
_COLUMN = re.compile(r"(\w+)\s+([A-Z_]+(?:\([\d, ]+\))?)\s+(.*)", re.DOTALL)
_PRICE_KINDS = {
    "PRICE": PriceKind.PRICE,
    "MID": PriceKind.MID,
    "PRICE_DOUBLE": PriceKind.QUOTIENT,
}
_KEYS = ("title", "question", "reads", "param", "column", "source")


class QueryParameter(NamedTuple):
    """A parameter: `$name` in the query.

    Attributes:
        name: its name, without the dollar.
        type: one of the types in the table above.
        default: its default, as a user would write it; None: it is required.
        description: its meaning.
    """

    name: str
    type: str
    default: str | None
    description: str


class ResultColumn(NamedTuple):
    """A column of the result.

    Attributes:
        name: its name.
        type: its type in DuckDB, or one of the types of columns in the table above.
        description: its meaning and unit.
    """

    name: str
    type: str
    description: str


class QueryFile(NamedTuple):
    """A query and its header.

    Attributes:
        name: name of the file, without its ending.
        title: title, in a few words.
        question: question that it answers.
        reads: views that it reads.
        params: parameters.
        columns: columns of its result.
        source: origin of its definitions.
        sql: the statement.
        has_header: whether there is a header; without one the fields above are empty.
    """

    name: str
    title: str
    question: str
    reads: tuple[str, ...]
    params: tuple[QueryParameter, ...]
    columns: tuple[ResultColumn, ...]
    source: str
    sql: str
    has_header: bool

    def price_columns(self) -> dict[str, PriceKind]:
        """The columns of the result that are prices, or derive from prices."""
        kinds = {column.name: _PRICE_KINDS.get(column.type) for column in self.columns}
        return {name: kind for name, kind in kinds.items() if kind is not None}

    def time_columns(self) -> list[str]:
        """The columns of the result that are times in UTC."""
        return [column.name for column in self.columns if column.type == "TIMESTAMP"]

    def bind(
        self,
        given: Mapping[str, object],
        zone: str | None = None,
        sessions: SessionCalendar | None = None,
    ) -> dict[str, object]:
        """The values of the query's parameters: those that are given, and defaults.

        Without a header the given values are taken as they are. The value of a parameter of the
        type SESSIONS is a SessionCalendar.

        Args:
            given: values, by name.
            zone: the value of parameters of the type ZONE that are not given; None: their default.
            sessions: likewise of the type SESSIONS.

        Raises:
            UsageError: a parameter is unknown, missing, or not of its type.
        """
        if not self.has_header:
            return dict(given)
        known = {param.name: param for param in self.params}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                there_are = f"did you mean {near[0]}?" if near else f"it has {_join_names(known)}"
                raise UsageError(f"{self.name} has no parameter {name!r}; {there_are}")
        texts = {name: str(value) for name, value in given.items()}
        defaults = {"ZONE": zone, "SESSIONS": None if sessions is None else sessions.name}
        for dtype, default in defaults.items():
            if default is not None:
                names = [param.name for param in self.params if param.type == dtype]
                texts = dict.fromkeys(names, default) | texts
        return {name: self._value(param, texts) for name, param in known.items()}

    def _value(self, param: QueryParameter, given: Mapping[str, str]) -> object:
        text = given.get(param.name, param.default)
        if text is None:
            raise UsageError(
                f"{self.name} needs {param.name} ({param.type}), {param.description}:"
                f" --param {param.name}=VALUE"
            )
        return _parse_value(param, text, self.name)


def parse_query(text: str, name: str) -> QueryFile:
    """Parse a query.

    Args:
        text: the header and the statement, or the statement alone.
        name: name of the query, for messages.

    Raises:
        UsageError: the header is invalid, or there is no statement.
    """
    header, sql = _split(text, name)
    found: dict[str, list[str]] = {key: [] for key in _KEYS}
    for key, value in header:
        found[key].append(value)
    params = tuple(_parse_param(value, name) for value in found["param"])
    columns = tuple(_parse_column(value, name) for value in found["column"])
    _check_once(
        [
            *(key for key in ("title", "question", "reads", "source") for _ in found[key]),
            *(f"param {param.name}" for param in params),
            *(f"column {column.name}" for column in columns),
        ],
        name,
    )
    statement = sql.strip().rstrip(";").rstrip()
    if not statement:
        raise UsageError(f"{name}: there is no statement")
    return QueryFile(
        name=name,
        title=" ".join(found["title"]),
        question=" ".join(found["question"]),
        reads=tuple(view.strip() for view in ",".join(found["reads"]).split(",") if view.strip()),
        params=params,
        columns=columns,
        source=" ".join(found["source"]),
        sql=statement,
        has_header=bool(header),
    )


def read_query(text: str) -> QueryFile:
    """Parse a query, or the file that the text names if it ends in `.sql`.

    Raises:
        InputError: the file cannot be read. UsageError: its header is invalid.
    """
    if not text.strip().endswith(SQL_SUFFIX):
        return parse_query(text, "query")
    path = Path(text.strip())
    try:
        return parse_query(path.read_text(encoding="utf-8"), path.stem)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InputError(f"{text}: cannot be read: {reason}") from None


def _split(text: str, name: str) -> tuple[list[tuple[str, str]], str]:
    """The keys and values of the header, and the text without it.

    Raises:
        UsageError: a line is nearly one of a header, or comes after the statement's beginning.
    """
    header: list[tuple[str, str]] = []
    # `splitlines` would change line ends within the statement.
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[0].startswith("#!"):
        lines[0] = ""
    rest: list[str] = []
    at = header_end = 0  # header_end: the line after the last one of the header so far
    while at < len(lines):
        line = lines[at].removesuffix("\r")
        if header and at == header_end and (more := _CONTINUATION.fullmatch(line)):
            key, value = header[-1]
            header[-1] = key, f"{value} {more[1]}"
            header_end = at + 1
        elif (found := _HEADER_LINE.fullmatch(line)) and _is_header_key(
            found[1].lower(), f"{name}: line {at + 1}", continues=bool(header) and at == header_end
        ):
            header.append((found[1].lower(), found[2].strip()))
            header_end = at + 1
        elif _COMMENT.fullmatch(line):
            rest.append(lines[at])
        elif end := _block_comment_end(lines, at):
            rest += lines[at:end]
            at = end - 1
        else:
            break
        at += 1
    statement = "\n".join(lines[at:])
    _check_statement(statement, at, name)
    return header, "\n".join([*rest, statement])


def _is_header_key(key: str, position: str, *, continues: bool) -> bool:
    """Whether a line with that key belongs to the header, and is not a comment with a colon.

    Args:
        key: the key, in lower case.
        position: the line, for messages.
        continues: whether the line before it belongs to the header.

    Raises:
        UsageError: the key is wrong.
    """
    if key in _KEYS:
        return True
    if continues or difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.75):
        raise UsageError(f"{position}: no key {key!r} in a header; there are {', '.join(_KEYS)}")
    return False


def _block_comment_end(lines: Sequence[str], at: int) -> int:
    """The line after a block comment that begins on a line; 0 if none begins there."""
    if not lines[at].lstrip().startswith("/*"):
        return 0
    for end in range(at, len(lines)):
        _, closed, after = lines[end].rpartition("*/")
        if closed:
            return 0 if after.strip() else end + 1
    return 0


def _check_statement(statement: str, lines_before: int, name: str) -> None:
    """Raise UsageError for a line of a header within the statement."""
    for token in sql_tokens(statement):
        found = _HEADER_LINE.match(token.text) if token.is_comment else None
        start = statement.rfind("\n", 0, token.start) + 1 if found else 0
        if found is None or statement[start : token.start].strip():
            continue
        if found[1].lower() in _KEYS:
            line = lines_before + statement.count("\n", 0, start) + 1
            raise UsageError(
                f"{name}: line {line}: '{found[1]}:' belongs to the header, which comes before"
                " the statement; move the line there, or write the comment without a colon"
            )


def _parse_param(text: str, name: str) -> QueryParameter:
    found = _PARAM.fullmatch(text)
    if found is None or found[2] not in PARAMETER_TYPES:
        expected = f"NAME TYPE = DEFAULT  what it is, with one of {', '.join(PARAMETER_TYPES)}"
        raise UsageError(f"{name}: parameter {text!r}, expected {expected}")
    default = found[3]
    if default is not None and re.fullmatch(r"'.*'", default, re.DOTALL):
        default = default[1:-1].replace("''", "'")
    param = QueryParameter(found[1], found[2], default, (found[4] or "").strip())
    if default is not None:
        _parse_value(param, default, name)  # raises if the default is wrong
    return param


def _parse_value(param: QueryParameter, text: str, name: str) -> object:
    """The value of a parameter, from its text; `name` is that of the query."""
    try:
        return PARAMETER_TYPES[param.type](text)
    except (ValueError, UsageError) as error:
        reason = f": {error}" if isinstance(error, UsageError) else ""
        raise UsageError(
            f"{name}: parameter {param.name} is {text!r}, expected {param.type}{reason}"
        ) from None


def _check_once(keys: Sequence[str], name: str) -> None:
    for key, times in Counter(keys).items():
        if times > 1:
            raise UsageError(f"{name}: {key} is given {times} times")


def _parse_column(text: str, name: str) -> ResultColumn:
    found = _COLUMN.fullmatch(text)
    if found is None:
        raise UsageError(f"{name}: column {text!r}, expected NAME TYPE  what it is")
    return ResultColumn(found[1], found[2], found[3].strip())


def _join_names(known: Mapping[str, QueryParameter]) -> str:
    return ", ".join(known) or "none"
