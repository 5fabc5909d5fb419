"""A secret is never shown: as text, in collections, dataclasses, errors, JSON or pickles."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import asdict, replace

import orjson
import pytest

from batonics.model.secret import STARS, Secret
from batonics.settings.table import LiveSettings, ServerSettings, Settings

TEXT = "0123456789abcdef0123456789abcdef"


def test_a_secret_prints_as_stars() -> None:
    secret = Secret(TEXT)
    settings = replace(Settings(), server=ServerSettings(token=secret))
    shown = [
        *(f"{secret}", f"{secret!r}", f"{secret:>40}", "%s" % secret),  # noqa: UP031 - one more way
        *(str([secret]), repr({"a": (secret,)}), repr(LiveSettings(gateway_key=secret))),
        *(str(ValueError(secret)), repr(asdict(settings)), repr(vars(settings.server))),
        json.dumps({"a": secret}, default=str),
        orjson.dumps({"a": secret}, default=str).decode(),
    ]
    for text in shown:
        assert TEXT not in text
        assert not TEXT.startswith(text)
    assert f"{secret}" == STARS


def test_a_secret_is_read_on_purpose_only() -> None:
    secret = Secret(TEXT)
    assert secret.reveal() == TEXT
    assert secret.matches(TEXT)
    assert not secret.matches(TEXT[:-1])
    assert not secret.matches("\udcff")
    assert secret == Secret(TEXT) != Secret("x")
    assert hash(secret) == hash(Secret(TEXT))
    assert copy.deepcopy(secret) is copy.copy(secret) is secret
    assert (bool(secret), bool(Secret(""))) == (True, False)
    assert not hasattr(secret, "__dict__")
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
