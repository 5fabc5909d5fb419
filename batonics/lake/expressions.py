"""What an expression of a query derives from: a time in UTC, and a power of the unit of prices.

The rule here: a function that is not known here gives no time in UTC, and if it takes prices, its
value depends on their unit.

| expression                          | degree                                             |
|-------------------------------------|----------------------------------------------------|
| a price; a size, a text, a count    | 1; 0                                               |
| null, and the number 0              | any                                                |
| a + b, a - b, a % b, CASE, coalesce | that of all of them, or else it depends on the unit |
| a < b, a IN (b, c)                  | 0; if the degrees differ, it depends on the unit   |
| a * b, a / b                        | the sum, the difference                            |
| sum, avg, min, lag, median          | that of the argument; of a variance, twice it      |

A factor such as 1e9 or 0.01, which may be the unit itself or a tick, depends on the unit; 2 or 0.5
does not. What has such a factor is in a unit of its own (`Scale`). A cast to an integer or a
DECIMAL rounds whole units, but not units of 1e-9, and so does `round`.

Constants are followed: what is computed or chosen from constants alone, as 60 + 4.8, VALUES and
lists, is known by the numbers that it may be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from batonics.lake.constant_numbers import fold_numbers
from batonics.lake.derivations import (
    Derivation,
    Node,
    PriceNumber,
    Scale,
    UnknownPlanError,
    as_amount,
    derive_constant,
    extract_field,
    is_plain,
    join_numbers,
    number_derivation,
    one_scale,
    product_scale,
)
from batonics.model.errors import UsageError

_EXACT_TYPES = "TINYINT SMALLINT INTEGER BIGINT HUGEINT DECIMAL"
_UTC_ZONES = ("UTC", "Etc/UTC", "GMT")


class Expressions:
    """Derives expressions of a bound plan.

    Args:
        sql: the statement of the plan.

    Attributes:
        depends_on_unit: an expression so far depends on the unit of prices.
        numbers: numbers beside prices in expressions so far.
    """

    def __init__(self, sql: str) -> None:
        self.depends_on_unit = False
        self.numbers: list[PriceNumber] = []
        self._sql = sql.encode()

    def values(self, nodes: Iterable[Node], inputs: Sequence[Derivation]) -> list[Derivation]:
        """The derivations of expressions over columns."""
        return [self.value(node, inputs) for node in nodes]

    def value(self, node: Node, inputs: Sequence[Derivation]) -> Derivation:
        """The derivation of an expression over columns.

        Raises:
            UnknownPlanError: there is an expression that this class does not know.
            UsageError: it takes a time in UTC for a local time.
        """
        match node["expression_class"]:
            case "BOUND_REF":
                return inputs[node["index"]]
            case "BOUND_CONSTANT":
                return derive_constant(node["value"])
            case "BOUND_CASE":
                checks = node["case_checks"]
                self.values((check["when_expr"] for check in checks), inputs)
                results = [check["then_expr"] for check in checks]
                return self.same(self.values([*results, node["else_expr"]], inputs))
            case "BOUND_FUNCTION" | "BOUND_AGGREGATE" | "BOUND_WINDOW" | "BOUND_OPERATOR":
                return self._call(node, inputs)
            case "BOUND_CONJUNCTION":
                self.values(node["children"], inputs)
                return Derivation()
        raise UnknownPlanError(node["expression_class"])

    def same(self, values: Iterable[Derivation]) -> Derivation:
        """One of several values, which have to be of one degree."""
        values = list(values)
        if values and all(value.fields for value in values):
            fields = zip(*(value.fields for value in values), strict=False)
            return Derivation(fields=tuple(map(self.same, fields)))
        known = [value for value in values if value.degree is not None]
        degrees = {value.degree for value in known}
        self.depends_on_unit |= len(degrees) > 1
        if not known:
            return Derivation(None, numbers=join_numbers(values))
        scales = {value.scale for value in known if value.degree} - {Scale.NONE}
        if scales:
            beside = min(scales)
            numbers = (n for value in known if not value.degree for n in value.numbers if n)
            self.numbers += [PriceNumber(n, beside) for n in numbers]
            if any(value.is_opaque for value in known):
                self.numbers.append(PriceNumber(math.nan, beside))
        return Derivation(
            known[0].degree,
            all(value.is_instant for value in known),
            join_numbers(values),
            one_scale(scales),
            is_opaque=any(value.is_opaque for value in known),
        )

    def _call(self, node: Node, inputs: Sequence[Derivation]) -> Derivation:
        """The derivation of a function, an operator, an aggregate or a window."""
        self.values((node[part] for part in ("filter", "filters") if node.get(part)), inputs)
        arguments = self.values(node.get("children") or (), inputs)
        name = _function_name(node)
        if name == "__cast":
            return self._cast(node, arguments[0])
        if name == "timezone":
            _check_zone(node["children"][0], arguments[-1])
        folded = fold_numbers(name, [argument.numbers for argument in arguments])
        if folded:
            return number_derivation(folded)
        if name in _EXTRACTIONS and node["arguments"][0]["id"] in {"STRUCT", "TUPLE"}:
            return extract_field(node, arguments[0].fields)
        rule = _RULES.get(name)
        found = self._unknown(node, arguments) if rule is None else rule(self, arguments)
        dtype = node["return_type"]
        # A text may be cast to a number.
        if found.numbers or found.fields or (_is_no_number(dtype) and dtype["id"] != "VARCHAR"):
            return found
        # A function of constants alone, such as exp(4.17) and random(), is a constant.
        is_aggregate = node["expression_class"] in {"BOUND_AGGREGATE", "BOUND_WINDOW"}
        pairs = zip(node.get("children") or (), arguments, strict=True)
        is_opaque = not is_aggregate and all(
            child["expression_class"] == "BOUND_CONSTANT" or argument.is_constant
            for child, argument in pairs
        )
        return found._replace(is_opaque=found.is_opaque or is_opaque)

    def _unknown(self, node: Node, arguments: Sequence[Derivation]) -> Derivation:
        """The value of a function that is not known: it may be a price if an argument is one."""
        parts = [*arguments, *(field for argument in arguments for field in argument.fields)]
        self.depends_on_unit |= any(part.degree for part in parts)
        if all(part.scale is Scale.NONE for part in parts) or _is_no_number(node["return_type"]):
            return Derivation()
        return Derivation(1, scale=Scale.UNKNOWN)

    def _cast(self, node: Node, value: Derivation) -> Derivation:
        dtype = node["return_type"]["id"]
        if value.degree and dtype.removeprefix("U") in _EXACT_TYPES and self._is_written(node):
            self.depends_on_unit = True
        return value._replace(is_instant=value.is_instant and dtype == "TIMESTAMP_NS")

    def _is_written(self, cast: Node) -> bool:
        """Whether the statement has the cast; DuckDB adds others, which round nothing."""
        start = cast["query_location"]
        text = self._sql[start : start + cast["query_location_length"]].lower()
        return b"::" in text or b"cast" in text

    def first(self, arguments: Sequence[Derivation]) -> Derivation:
        """A value of the first argument, as of `min`."""
        return arguments[0]

    def neighbour(self, arguments: Sequence[Derivation]) -> Derivation:
        """The argument of another row, or the default, as of `lag`."""
        return self.same([arguments[0], *arguments[2:]])

    def mean(self, arguments: Sequence[Derivation]) -> Derivation:
        """A value that is computed from those of the first argument, as of `avg`."""
        return Derivation(arguments[0].degree, scale=arguments[0].scale)

    def total(self, arguments: Sequence[Derivation]) -> Derivation:
        """A sum of rows."""
        return Derivation(arguments[0].degree, scale=as_amount(arguments[0].scale))

    def add(self, arguments: Sequence[Derivation]) -> Derivation:
        """A sum or a difference."""
        value = self.same(arguments)
        return Derivation(value.degree, scale=value.scale)

    def rounded(self, arguments: Sequence[Derivation]) -> Derivation:
        """The first argument, rounded to decimals of its unit."""
        self.depends_on_unit |= bool(arguments[0].degree)
        return arguments[0]._replace(numbers=())

    def row(self, arguments: Sequence[Derivation]) -> Derivation:
        """A row of values."""
        self.depends_on_unit |= any(argument.degree for argument in arguments)
        return Derivation(fields=tuple(arguments))

    def histogram(self, arguments: Sequence[Derivation]) -> Derivation:
        """A map from values to their numbers."""
        return Derivation(fields=(arguments[0], Derivation()))

    def keys(self, arguments: Sequence[Derivation]) -> Derivation:
        """The keys of a map."""
        return arguments[0].fields[0] if arguments[0].fields else arguments[0]

    def map_values(self, arguments: Sequence[Derivation]) -> Derivation:
        """The values of a map."""
        return arguments[0].fields[-1] if arguments[0].fields else arguments[0]

    def compare(self, arguments: Sequence[Derivation]) -> Derivation:
        """A comparison, which is true or false."""
        self.same(arguments)
        return Derivation()

    def count(self, arguments: Sequence[Derivation]) -> Derivation:  # noqa: ARG002 - a rule
        """A value without a degree, whatever the arguments are."""
        return Derivation()

    def logarithm(self, arguments: Sequence[Derivation]) -> Derivation:
        """A logarithm; the difference of two has no unit."""
        self.depends_on_unit |= any(argument.degree for argument in arguments)
        return Derivation()

    def square(self, arguments: Sequence[Derivation]) -> Derivation:
        """A variance."""
        is_price = arguments[0].scale is not Scale.NONE
        scale = Scale.UNKNOWN if is_price else Scale.NONE
        return Derivation(2 * (arguments[0].degree or 0), scale=scale)

    def multiply(self, arguments: Sequence[Derivation]) -> Derivation:
        """A product."""
        return self._product(arguments, 1)

    def divide(self, arguments: Sequence[Derivation]) -> Derivation:
        """A quotient."""
        return self._product(arguments, -1)

    def divide_whole(self, arguments: Sequence[Derivation]) -> Derivation:
        """A quotient without its fraction."""
        self.depends_on_unit |= any(argument.degree for argument in arguments)
        return self.divide(arguments)

    def _product(self, arguments: Sequence[Derivation], power: int) -> Derivation:
        """The product of a value and a power of another one."""
        left, right = arguments
        self._check_factor(left, right)
        self._check_factor(right, left)
        degree = (left.degree or 0) + power * (right.degree or 0)
        return Derivation(degree, scale=product_scale(left, right))

    def _check_factor(self, factor: Derivation, other: Derivation) -> None:
        if other.degree and not all(map(is_plain, factor.numbers)):
            self.depends_on_unit = True


_Rule = Callable[[Expressions, Sequence[Derivation]], Derivation]
_FUNCTIONS: Mapping[_Rule, str] = {
    Expressions.first: (
        "min max first last any_value arbitrary arg_min arg_max arg_min_null arg_max_null min_by"
        " max_by mode quantile_disc first_value last_value nth_value list array_agg array_extract"
        " list_extract list_element list_max list_min list_first list_last list_any_value list_mode"
        " list_sort list_reverse_sort list_reverse list_distinct list_slice array_slice flatten"
        " array_sort array_reverse_sort array_reverse array_distinct list_filter map_from_entries"
        " map_entries"
    ),
    Expressions.neighbour: "lag lead",
    Expressions.same: (
        "coalesce greatest least nullif ifnull list_value unpivot_list list_concat list_cat"
        " array_concat array_cat list_append array_append array_push_back"
    ),
    Expressions.rounded: "round floor ceil ceiling trunc even",
    Expressions.row: "row struct_pack map",
    Expressions.histogram: "histogram",
    Expressions.keys: "map_keys",
    Expressions.map_values: "map_values map_extract map_extract_value element_at",
    Expressions.mean: (
        "avg mean favg median quantile_cont approx_quantile mad stddev stddev_samp stddev_pop abs"
        " list_avg list_median"
    ),
    Expressions.total: "sum fsum sumkahan kahan_sum list_sum",
    Expressions.add: "+ - % mod",
    Expressions.compare: (
        "compare_equal compare_notequal compare_lessthan compare_greaterthan compare_in"
        " compare_lessthanorequalto compare_greaterthanorequalto compare_not_in"
        " compare_distinct_from compare_not_distinct_from compare_between contains list_contains"
        " array_contains list_has array_has list_position list_indexof array_position list_has_any"
        " list_has_all array_has_any array_has_all"
    ),
    Expressions.count: (
        "count count_star row_number rank dense_rank rank_dense percent_rank cume_dist ntile sign"
        " corr approx_count_distinct operator_not operator_is_null operator_is_not_null hash len"
        " length list_count array_length width_bucket skewness kurtosis kurtosis_pop entropy"
        " regr_r2 regr_count"
    ),
    Expressions.logarithm: "ln log log2 log10",
    Expressions.square: "var_samp var_pop variance",
    Expressions.multiply: "*",
    Expressions.divide: "/",
    Expressions.divide_whole: "//",
}
_RULES = {name: rule for rule, names in _FUNCTIONS.items() for name in names.split()}
_EXTRACTIONS = ("struct_extract", "struct_extract_at", "array_extract")
"""Functions that take a field of a row."""
_NO_NUMBERS = (
    *("VARCHAR", "CHAR", "BOOLEAN", "DATE", "TIME", "TIMESTAMP", "INTERVAL"),
    *("BLOB", "BIT", "UUID", "ENUM", "SQLNULL"),
)
"""The beginnings of types whose values are no numbers."""


def _is_no_number(dtype: Node) -> bool:
    return str(dtype["id"]).startswith(tuple(_NO_NUMBERS))


def _function_name(node: Node) -> str:
    """The name of a function, or the kind of an operator or a window: `lag`, `compare_in`."""
    kind = str(node["type"]).lower()
    if "qname" in node and not kind.startswith("compare_"):
        return str(node["qname"]["path"][-1])
    return kind.removeprefix("window_").replace("operator_coalesce", "coalesce")


def _check_zone(zone: Node, time: Derivation) -> None:
    """Refuse a time in UTC where a local time is expected."""
    name = zone.get("value", {}).get("value")
    if time.is_instant and name not in _UTC_ZONES:
        raise UsageError(
            f"the query: timezone({name!r}, ...) would take a time in UTC for a local time;"
            f" local_time(ts, {name!r}) is the local time of ts"
        )
