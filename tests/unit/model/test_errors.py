"""Errors: what they say, and the exit code each kind has."""

from __future__ import annotations

import pytest

from batonics.model import errors


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("BatonicsError", 1),
        ("UsageError", 2),
        ("InputError", 3),
        ("DamagedInputError", 3),
        ("OutputError", 4),
        ("CheckpointError", 5),
        ("LakeError", 6),
    ],
)
def test_each_kind_has_its_exit_code(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert kind.exit_code == code
    assert issubclass(kind, errors.BatonicsError)


def test_damage_says_where() -> None:
    damage = errors.DamagedInputError("odd", byte_offset=7, record_index=2, source="x")
    assert str(damage) == "x: byte 7, record 2: odd"
    assert str(errors.DamagedInputError("odd", byte_offset=7)) == "byte 7: odd"
    assert (damage.reason, damage.byte_offset, damage.record_index) == ("odd", 7, 2)
