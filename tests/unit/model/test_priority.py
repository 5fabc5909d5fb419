"""What is known of the priority of orders at venues."""

from __future__ import annotations

import pytest

from batonics.model.priority import PRIORITY_RULES, Priority, explain_priority, find_priority

NASDAQ, CME, EDGX, NYSE = 2, 1, 8, 9


@pytest.mark.parametrize(
    ("publisher_id", "match_algorithm", "priority"),
    [
        (NASDAQ, "", Priority.FIFO),
        (CME, "", Priority.UNKNOWN),
        (CME, "F", Priority.FIFO),
        *((CME, letter, Priority.UNKNOWN) for letter in "KCTOSQYPV"),
        (EDGX, "F", Priority.UNKNOWN),
        (NYSE, "F", Priority.UNKNOWN),
        (57, "F", Priority.UNKNOWN),
        (65_535, "", Priority.UNKNOWN),
    ],
)
def test_only_a_rule_or_a_definition_of_cme_makes_a_book_fifo(
    publisher_id: int, match_algorithm: str, priority: Priority
) -> None:
    assert find_priority(publisher_id, match_algorithm) is priority


def test_each_rule_names_its_source() -> None:
    for publisher_id, rule in PRIORITY_RULES.items():
        assert rule.rule.startswith("price")
        assert rule.source in explain_priority(publisher_id)
    assert explain_priority(40) == "nothing is known of publisher 40"
