"""A code that a browser changes for the token, once.

The rule here: the code stands in the URL of the browser that `--open` starts, behind `#`, so no
request and no log has it, but the list of processes may. So it is valid once, for a minute, and
ends with a few wrong tries.
"""

from __future__ import annotations

import secrets

from batonics.model.secret import Secret

CODE_VALID_S = 60.0
CODE_TRIES_MAX = 5
SCHEME = "code "
"""`Authorization: Code CODE`."""


class OneTimeCode:
    """A code for a token.

    Args:
        token: what the code is changed for.
        now: the time in seconds, of a clock that never goes back.
    """

    def __init__(self, token: Secret, now: float) -> None:
        self._token, self._until = token, now + CODE_VALID_S
        self._code: Secret | None = Secret(secrets.token_urlsafe(24))
        self._tries = 0

    @property
    def code(self) -> str:
        """The code; for the URL of one browser only."""
        return self._code.reveal() if self._code is not None else ""

    def redeem(self, authorization: str, now: float) -> Secret | None:
        """The token, if this is the code's header, and it is valid; the code then ends."""
        if self._code is None:
            return None
        is_code = authorization.lower().startswith(SCHEME)
        given = authorization[len(SCHEME) :].strip() if is_code else ""
        found = self._code.matches(given)
        is_valid = now < self._until
        self._tries += 1
        if found or not is_valid or self._tries >= CODE_TRIES_MAX:
            self._code = None
        return self._token if found and is_valid else None
