"""A code is changed for the token once, in time, and not by guessing."""

from __future__ import annotations

from batonics.model.secret import Secret
from batonics.server.one_time_code import CODE_TRIES_MAX, CODE_VALID_S, OneTimeCode

TOKEN = Secret("3f9c1e7ab5d24c6880f1d2e3a4b5c6d7")


def test_a_code_is_valid_once() -> None:
    code = OneTimeCode(TOKEN, 0.0)
    given = f"Code {code.code}"
    assert code.redeem(given, 1.0) == TOKEN
    assert code.redeem(given, 1.0) is None
    assert code.code == ""


def test_a_code_ends_with_its_time() -> None:
    code = OneTimeCode(TOKEN, 0.0)
    assert code.redeem(f"Code {code.code}", CODE_VALID_S) is None


def test_a_code_ends_with_wrong_tries() -> None:
    code = OneTimeCode(TOKEN, 0.0)
    given = f"Code {code.code}"
    for _ in range(CODE_TRIES_MAX):
        assert code.redeem("Code wrong", 1.0) is None
    assert code.redeem(given, 1.0) is None


def test_only_the_header_of_a_code_is_one() -> None:
    code = OneTimeCode(TOKEN, 0.0)
    for given in ("", code.code, f"Bearer {code.code}", "Code ", "Code \udcff"):
        if given:
            assert code.redeem(given, 1.0) is None


def test_two_codes_differ() -> None:
    assert OneTimeCode(TOKEN, 0.0).code != OneTimeCode(TOKEN, 0.0).code
