"""A text that is never shown, such as a token or a key.

The rule here: a secret is one from the settings to its use. Only `reveal` and `matches` read the
text, so no log, error, traceback or dump can show it by accident.
"""

from __future__ import annotations

import hmac
from typing import Any, Self

STARS = "********"


class Secret:
    """A text that prints as stars."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for its one use."""
        return self._text

    def matches(self, given: str) -> bool:
        """Whether another text is the same; the time it takes does not depend on the difference."""
        return hmac.compare_digest(
            given.encode("utf-8", "surrogateescape"), self._text.encode("utf-8", "surrogateescape")
        )

    def __repr__(self) -> str:
        return STARS

    def __format__(self, spec: str) -> str:
        return format(STARS, spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")
