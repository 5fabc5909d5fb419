"""Mutants of a kernel file: one small, plausible mistake each, as source text.

The rule: only what runs in a function's body is changed, and nothing whose change can only cost
time (prefetching), so that a mutant that survives is a question about the tests.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

COMPARES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.Mult: ast.Add,
}
_SWAPS = (
    ("BID", "ASK"),
    ("NO_BID", "NO_ASK"),
    ("SIDE_BID", "SIDE_ASK"),
    ("L_SIZE", "L_COUNT"),
    ("L_KEY", "L_SIZE"),
    ("O_ID", "O_PACKED"),
    ("LENGTH", "CAPACITY"),
    ("EMPTIES", "LENGTH"),
    ("ADD", "MODIFY"),
    ("CANCEL", "CLEAR"),
    ("SYNCED", "STALE"),
    ("F_LAST", "F_SNAPSHOT"),
    ("F_TOB", "F_MBP"),
    ("UNKNOWN_CANCEL", "UNKNOWN_MODIFY"),
    ("DUPLICATE_ADD", "SIDE_MISMATCH"),
    ("BAD_SIDE", "A_UNDEF_PRICE"),
    ("A_UNDEF_SIZE", "ZERO_SIZE"),
    ("T_DELTAS", "T_CLOSINGS"),
    ("T_ORDERS", "T_LEVELS"),
    ("bid", "ask"),
    ("taken_from", "given_to"),
    ("taken_size", "given_size"),
    ("known", "held"),
)
NAMES = {one: other for swap in _SWAPS for one, other in (swap, swap[::-1])}
PREFETCH = "prefetch("
FIRST_WORDS = {"O_ID", "L_KEY", "B_KEY", "FLOOR"}
"""Words 0 of their rows: to add one or to take it off is the same."""


class Mutant(NamedTuple):
    """One mistake: what it is, and the file's text with it."""

    name: str
    source: str


class _Site(NamedTuple):
    """A node, where it hangs, and what could stand there by mistake."""

    parent: ast.AST
    field: str
    place: int | None
    node: ast.AST
    mistake: ast.AST

    def change(self) -> None:
        if self.place is None:
            setattr(self.parent, self.field, self.mistake)
        else:
            getattr(self.parent, self.field)[self.place] = self.mistake


def count_mutants(source: str) -> int:
    """How many mutants a file has."""
    return sum(1 for _ in _sites(ast.parse(source)))


def mutant(source: str, number: int) -> Mutant:
    """The mutant of that number, from 0, in the order of the text."""
    tree = ast.parse(source)
    site = next(islice(_sites(tree), number, None))
    line = getattr(site.node, "lineno", 0)
    name = f"{line}: {_one_line(site.node)} -> {_one_line(site.mistake)}"
    site.change()
    return Mutant(name, ast.unparse(ast.fix_missing_locations(tree)))


def _one_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def _sites(tree: ast.Module) -> Iterator[_Site]:
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            yield from _below(function, ("body",))


def _below(node: ast.AST, fields: tuple[str, ...]) -> Iterator[_Site]:
    for field in fields:
        value = getattr(node, field, None)
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(child, ast.AST) or _costs_time_only(child):
                continue
            place = node, field, index if isinstance(value, list) else None
            for mistake in _mistakes(child):
                yield _Site(*place, child, mistake)
            yield from _below(child, child._fields)


def _costs_time_only(node: ast.AST) -> bool:
    """A prefetch, or a loop that prefetches and writes to no array."""
    if isinstance(node, ast.For):
        inside = list(ast.walk(node))
        writes = any(isinstance(n, ast.Subscript) and isinstance(n.ctx, ast.Store) for n in inside)
        return any(map(_prefetches, inside)) and not writes
    return _prefetches(node)


def _prefetches(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and ast.unparse(node).startswith(PREFETCH)


def _mistakes(node: ast.AST) -> Iterator[ast.AST]:
    return _wrong_statements(node) if isinstance(node, ast.stmt) else _wrong_expressions(node)


def _wrong_expressions(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(left, [op], [right]) if type(op) in COMPARES:
            yield ast.Compare(left, [COMPARES[type(op)]()], [right])
        case ast.BinOp(_, ast.Add(), ast.Name(name)) if name in FIRST_WORDS:
            return
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Constant(bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(int(value)):
            yield ast.Constant(value + 1)
        case ast.Name(name, ast.Load()) if name in NAMES:
            yield ast.Name(NAMES[name], ast.Load())
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(_negated(test), body, orelse)


def _wrong_statements(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.If(test, body, orelse):
            yield ast.If(_negated(test), body, orelse)
        case ast.Assign() | ast.Expr(ast.Call()) | ast.Break() | ast.Continue():
            yield ast.Pass()
        case ast.AugAssign(target, op, value):
            yield ast.Pass()
            if type(op) in OPERATORS:
                yield ast.AugAssign(target, OPERATORS[type(op)](), value)


def _negated(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)
