"""A query with a header that says what it answers, and its parameters with their types.

The rule here: what a user gives is checked against the header before anything runs; a value
reaches DuckDB as a value, never as text of the statement.

    -- title: Spread by hour
    -- question: How wide is the quoted spread over the day?
    -- reads: mbp_1
    -- param: tau DURATION = 5s  how long after each trade the mid is taken
    -- column: hour BIGINT  hour of the day, UTC
    -- source: where the definition is from
    SELECT ...

A line that begins with `--` and three spaces goes on with the one before. `title`, `question`,
`reads` and `source` come once, `param` and `column` once for each. A parameter without a default
must be given. Blank lines, remarks and `#!` may stand before the header and within it; a line of it
that comes after the statement has begun, or has a key that is nearly one, is refused: what looks
like a header is one or an error, never a remark.

| type                          | is given as                  | reaches DuckDB as                |
|-------------------------------|------------------------------|----------------------------------|
| BIGINT, DOUBLE, BOOLEAN       | 5, 0.5, true                 | itself                           |
| VARCHAR                       | text                         | itself                           |
| DATE                          | 2025-09-24                   | DATE                             |
| TIMESTAMP                     | ISO 8601 (UTC), nanoseconds  | BIGINT: nanoseconds of the epoch |
| DURATION                      | 100ms, 5s                    | BIGINT: nanoseconds              |
| PRICE                         | 64.80                        | BIGINT of 1e-9                   |

A text without a header is a query too; what is given for its parameters is VARCHAR.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from batonics.model.errors import UsageError
from batonics.model.prices import parse_price
from batonics.model.times import duration_ns, format_time, parse_time

_LINE = re.compile(r"\s*--\s*(\w+):\s*(.*)")
_MORE = re.compile(r"\s*--   \s*(\S.*)")
_REMARK = re.compile(r"\s*(?:--.*)?")
SQL_TOKEN = re.compile(
    r"""(?P<kept>'(?:''|[^'])*'|"(?:""|[^"])*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)"""
    r"""|/\*.*?\*/|(?P<remark>--[^\n]*)""",
    re.DOTALL,
)
"""Of SQL: text and quoted names, in which nothing is a remark; and remarks."""
_PARAM = re.compile(r"(\w+)\s+([A-Z]+)(?:\s*=\s*('(?:[^']|'')*'|\S+))?(?:\s+(.*))?", re.DOTALL)
_COLUMN = re.compile(r"(\w+)\s+([A-Z_]+(?:\([\d, ]+\))?)\s+(.*)", re.DOTALL)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_KEYS = ("title", "question", "reads", "param", "column", "source")


class QueryParameter(NamedTuple):
    """A parameter: `$name` in the query.

    Attributes:
        name: without the dollar.
        type: one of the table above.
        default: as it would be given; None: it must be.
        about: what it is.
    """

    name: str
    type: str
    default: str | None
    about: str


class ResultColumn(NamedTuple):
    """A column of the answer: its name, its type in DuckDB, what it is and in which unit."""

    name: str
    type: str
    about: str


class QueryFile(NamedTuple):
    """A query, and what its header says.

    Attributes:
        name: by which it is called.
        title: a few words.
        question: that it answers.
        reads: the views that it reads.
        params: its parameters.
        columns: of its answer.
        source: of the definitions in it.
        sql: the statement.
        declared: whether it has a header.
    """

    name: str
    title: str
    question: str
    reads: tuple[str, ...]
    params: tuple[QueryParameter, ...]
    columns: tuple[ResultColumn, ...]
    source: str
    sql: str
    declared: bool

    def values(self, given: Mapping[str, str]) -> dict[str, object]:
        """What the query's parameters are, of what was given and of defaults.

        Raises:
            UsageError: one is unknown, missing, or not of its type.
        """
        if not self.declared:
            return dict(given)
        known = {param.name: param for param in self.params}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                there_are = f"did you mean {near[0]}?" if near else f"it has {_names(known)}"
                raise UsageError(f"{self.name} has no parameter {name!r}; {there_are}")
        return {name: self._value(param, given) for name, param in known.items()}

    def _value(self, param: QueryParameter, given: Mapping[str, str]) -> object:
        text = given.get(param.name, param.default)
        if text is None:
            raise UsageError(
                f"{self.name} needs {param.name} ({param.type}), {param.about}:"
                f" --param {param.name}=VALUE"
            )
        return _typed(param, text, self.name)


def parse_query(text: str, name: str) -> QueryFile:
    """The query of a text.

    Raises:
        UsageError: its header is none, or there is no statement.
    """
    header, sql = _split(text, name)
    found: dict[str, list[str]] = {key: [] for key in _KEYS}
    for key, value in header:
        found[key].append(value)
    params = tuple(_param(value, name) for value in found["param"])
    columns = tuple(_column(value, name) for value in found["column"])
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
        declared=bool(header),
    )


def _split(text: str, name: str) -> tuple[list[tuple[str, str]], str]:
    """The keys and values of the header, and the rest.

    Raises:
        UsageError: a line is nearly one of a header, or is one behind its place.
    """
    header: list[tuple[str, str]] = []
    # Not `splitlines`: what follows is the statement's, letter for letter.
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[0].startswith("#!"):
        lines[0] = ""
    rest: list[str] = []
    at = was_header = 0  # was_header: of the line after the header's last one
    while at < len(lines):
        line = lines[at].removesuffix("\r")
        if header and at == was_header and (more := _MORE.fullmatch(line)):
            key, value = header[-1]
            header[-1] = key, f"{value} {more[1]}"
            was_header = at + 1
        elif (found := _LINE.fullmatch(line)) and _is_of_header(
            found[1].lower(), f"{name}: line {at + 1}", goes_on=bool(header) and at == was_header
        ):
            header.append((found[1].lower(), found[2].strip()))
            was_header = at + 1
        elif _REMARK.fullmatch(line):
            rest.append(lines[at])
        elif ends := _end_of_block(lines, at):
            rest += lines[at:ends]
            at = ends - 1
        else:
            break
        at += 1
    statement = "\n".join(lines[at:])
    _check_statement(statement, at, name)
    return header, "\n".join([*rest, statement])


def _is_of_header(key: str, where: str, *, goes_on: bool) -> bool:
    """Whether a line with that key is one of a header, and not a remark with a colon.

    Raises:
        UsageError: it is neither.
    """
    if key in _KEYS:
        return True
    if goes_on or difflib.get_close_matches(key, _KEYS, n=1, cutoff=0.75):
        raise UsageError(f"{where}: no key {key!r} in a header; there are {', '.join(_KEYS)}")
    return False


def _end_of_block(lines: Sequence[str], at: int) -> int:
    """The line behind a remark of several lines that begins on this one; 0: none does."""
    if not lines[at].lstrip().startswith("/*"):
        return 0
    for end in range(at, len(lines)):
        _, closed, behind = lines[end].rpartition("*/")
        if closed:
            return 0 if behind.strip() else end + 1
    return 0


def _check_statement(statement: str, lines_before: int, name: str) -> None:
    """UsageError for a line of a header within the statement."""
    for token in SQL_TOKEN.finditer(statement):
        start = statement.rfind("\n", 0, token.start()) + 1
        if token["remark"] is None or statement[start : token.start()].strip():
            continue
        found = _LINE.match(token["remark"])
        if found and found[1].lower() in _KEYS:
            line = lines_before + statement.count("\n", 0, start) + 1
            raise UsageError(
                f"{name}: line {line}: '{found[1]}:' is of the header, which comes before the"
                " statement; move the line there, or write the remark without the colon"
            )


def _param(text: str, name: str) -> QueryParameter:
    found = _PARAM.fullmatch(text)
    if found is None or found[2] not in _TYPES:
        expected = f"NAME TYPE = DEFAULT  what it is, with one of {', '.join(_TYPES)}"
        raise UsageError(f"{name}: parameter {text!r}, expected {expected}")
    default = found[3]
    if default is not None and re.fullmatch(r"'.*'", default, re.DOTALL):
        default = default[1:-1].replace("''", "'")
    param = QueryParameter(found[1], found[2], default, (found[4] or "").strip())
    if default is not None:
        _typed(param, default, name)  # a wrong one is refused even where it is not needed
    return param


def _typed(param: QueryParameter, text: str, name: str) -> object:
    """What a parameter of the query of that name is, of the text that is given for it."""
    try:
        return _TYPES[param.type](text)
    except (ValueError, UsageError) as error:
        reason = f": {error}" if isinstance(error, UsageError) else ""
        raise UsageError(
            f"{name}: parameter {param.name} is {text!r}, expected {param.type}{reason}"
        ) from None


def _check_once(keys: Sequence[str], name: str) -> None:
    for key, times in Counter(keys).items():
        if times > 1:
            raise UsageError(f"{name}: {key} is given {times} times")


def _column(text: str, name: str) -> ResultColumn:
    found = _COLUMN.fullmatch(text)
    if found is None:
        raise UsageError(f"{name}: column {text!r}, expected NAME TYPE  what it is")
    return ResultColumn(found[1], found[2], found[3].strip())


def _boolean(text: str) -> bool:
    if text.lower() not in {"true", "false"}:
        raise ValueError
    return text.lower() == "true"


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError
    return date.fromisoformat(text)


def _integer(text: str) -> int:
    value = int(text.replace("_", ""))
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def _timestamp(text: str) -> int:
    time_ns = parse_time(text)
    if time_ns >= 2**63:
        raise UsageError(
            f"{text!r} is after {format_time(2**63 - 1)}, the last time a row can have"
        )
    return time_ns


_TYPES: dict[str, Callable[[str], object]] = {
    "BIGINT": _integer,
    "DOUBLE": _number,
    "BOOLEAN": _boolean,
    "VARCHAR": str,
    "DATE": _date,
    "TIMESTAMP": _timestamp,
    "DURATION": duration_ns,
    "PRICE": parse_price,
}


def _names(known: Mapping[str, QueryParameter]) -> str:
    return ", ".join(known) or "none"
