"""What is known of the priority of orders at venues."""

from __future__ import annotations

import pytest

from batonics.model.priority import PRIORITY_RULES, Priority, explain_priority, find_priority

NASDAQ, BX, CME, EDGX, NYSE = 2, 3, 1, 8, 9
NOT_CONFIRMED = {"BZX": 5, "BYX": 6, "EDGA": 7}


@pytest.mark.parametrize(
    ("publisher_id", "match_algorithm", "priority"),
    [
        (NASDAQ, "", Priority.FIFO),
        (BX, "", Priority.FIFO),
        *((publisher_id, "F", Priority.UNKNOWN) for publisher_id in NOT_CONFIRMED.values()),
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


def test_a_rule_whose_text_was_not_read_says_so() -> None:
    for name, publisher_id in NOT_CONFIRMED.items():
        assert f"Cboe {name} Rule" in explain_priority(publisher_id)
        assert "not confirmed" in explain_priority(publisher_id)
