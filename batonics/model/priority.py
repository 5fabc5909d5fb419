"""Which books match by price, then time: what is known of venues' rules, and its sources.

The rule here: a place in a queue means something only where the venue fills the orders of a price
in the order of their time (FIFO). Where that is not so, or not known, answers say "unknown". A
venue is FIFO here only if a public document that was read says so for all its instruments. A rule
that is known by its number alone, without its text, makes no venue FIFO.

GLBX.MDP3 (CME) matches by instrument, and definitions name the algorithm: `F` is FIFO. Others are
pro rata, or FIFO after an allocation (`MatchAlgorithm` in the dbn reference library). Definitions
of other venues have `F` too, as a default, so theirs say nothing.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

GLBX_PUBLISHER = 1
FIFO_ALGORITHM = "F"
"""A definition's match_algorithm of instruments that match by price, then time."""


class Priority(StrEnum):
    """Whether the orders of a price are filled in the order of their time."""

    FIFO = "fifo"
    UNKNOWN = "unknown"


class PriorityRule(NamedTuple):
    """How a publisher's venue ranks the displayed orders of a price.

    Attributes:
        dataset: the vendor's code of the publisher's dataset.
        rule: the rule in words.
        source: where the rule stands.
        fifo: whether it is by time alone, for all instruments.
    """

    dataset: str
    rule: str
    source: str
    fifo: bool = False


_TEXT_NOT_READ = "not confirmed; SEC Release"
PRIORITY_RULES = {
    GLBX_PUBLISHER: PriorityRule(
        "GLBX.MDP3",
        "price, then by instrument: by time if match_algorithm is F",
        "definitions, --definitions",
    ),
    # "All displayed limit orders are treated equally", in the order in which they were received.
    2: PriorityRule(
        "XNAS.ITCH", "price, time", "nasdaqtrader.com, The Nasdaq Stock Market", fifo=True
    ),
    3: PriorityRule("XBOS.ITCH", "price, time", "nasdaqtrader.com, Nasdaq BX", fifo=True),
    # The texts of these three rules were not found: only notices of the SEC that name them.
    5: PriorityRule(
        "BATS.PITCH", "price, then as Cboe BZX Rule 11.12 says", f"{_TEXT_NOT_READ} 34-74738"
    ),
    6: PriorityRule(
        "BATY.PITCH", "price, then as Cboe BYX Rule 11.12 says", f"{_TEXT_NOT_READ} 34-74250"
    ),
    7: PriorityRule(
        "EDGA.PITCH", "price, then as Cboe EDGA Rule 11.9 says", f"{_TEXT_NOT_READ} 34-75700"
    ),
    8: PriorityRule(
        "EDGX.PITCH",
        "price, retail orders, time; an A with F_PUBLISHER_SPECIFIC is a retail order",
        "SEC Release 34-87200; Databento, Cboe EDGX Depth",
    ),
    # The setter of the best price comes first, then the others share.
    9: PriorityRule(
        "XNYS.PILLAR", "price, setter, parity", "nyse.com, Parity and Priority Explainer"
    ),
}
"""What is known, by publisher id. Of publishers that are not here nothing is known."""

FIFO_PUBLISHERS = tuple(key for key, rule in PRIORITY_RULES.items() if rule.fifo)


def find_priority(publisher_id: int, match_algorithm: str = "") -> Priority:
    """The priority in a book.

    Args:
        publisher_id: the publisher of the book.
        match_algorithm: that of its instrument's definition; "" if there is no definition.
    """
    is_fifo = publisher_id in FIFO_PUBLISHERS or (
        publisher_id == GLBX_PUBLISHER and match_algorithm == FIFO_ALGORITHM
    )
    return Priority.FIFO if is_fifo else Priority.UNKNOWN


def explain_priority(publisher_id: int) -> str:
    """How the venue of a publisher ranks the orders of a price, in words."""
    rule = PRIORITY_RULES.get(publisher_id)
    if rule is None:
        return f"nothing is known of publisher {publisher_id}"
    return f"{rule.dataset} ranks by {rule.rule} ({rule.source})"
