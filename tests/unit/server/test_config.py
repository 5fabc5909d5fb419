"""What may be served, and where: another than this machine's own address needs a token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batonics.model.errors import UsageError
from batonics.model.secret import Secret
from batonics.server.config import (
    ListenAddress,
    ServerConfig,
    check_config,
)
from batonics.settings.table import ServerLimits, ServerSettings

TOKEN = "0123456789abcdef0123456789abcdef"


def config(**settings: Any) -> ServerConfig:
    if settings.get("token") is not None:
        settings["token"] = Secret(settings["token"])
    return ServerConfig(ServerSettings(**settings))


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:8080", ListenAddress("127.0.0.1", 8080), True),
        ("127.9.9.9:0", ListenAddress("127.9.9.9", 0), True),
        ("localhost:80", ListenAddress("127.0.0.1", 80), True),
        ("[::1]:65535", ListenAddress("::1", 65535), True),
        ("0.0.0.0:8080", ListenAddress("0.0.0.0", 8080), False),
        ("[::]:8080", ListenAddress("::", 8080), False),
        ("10.1.2.3:1", ListenAddress("10.1.2.3", 1), False),
    ],
)
def test_addresses(text: str, address: ListenAddress, loopback: bool) -> None:
    assert ListenAddress.parse(text) == address
    assert address.is_loopback is loopback
    if "localhost" not in text:
        assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:80",
     "example.com:80", "http://127.0.0.1:80", "127.0.0.1:80/x", "[127.0.0.1:80", "127.1:80",
     "127.0.0.1:-1", "127.0.0.1:٨٠", "*:80"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="not an address to listen on"):
        ListenAddress.parse(text)


@pytest.mark.parametrize("token", [TOKEN, TOKEN.upper(), "AbCdEfGhIjKlMnOpQrStUv", "a-b_c.d~" * 3])
def test_tokens(token: str) -> None:
    check_config(config(token=token))


@pytest.mark.parametrize(
    "token",
    [TOKEN[:-1], "AbCdEfGhIjKlMnOpQrStU", "a" * 64, "ab" * 40, TOKEN + " ", TOKEN + "/", "é" * 40,
     TOKEN + "\n", "secret"],
)  # fmt: skip
def test_what_could_be_guessed_or_not_sent_is_no_token(token: str) -> None:
    with pytest.raises(UsageError, match="128 random bits") as caught:
        check_config(config(token=token))
    assert token not in str(caught.value)


def test_no_token() -> None:
    for token in (None, ""):
        check_config(config(token=token))


@pytest.mark.parametrize("http", ["0.0.0.0:1", "[::]:1", "192.168.0.1:1", "[fe80::1]:1"])
def test_others_are_served_only_with_a_token(http: str) -> None:
    with pytest.raises(UsageError, match="needs a token of 128 bits in BATONICS_TOKEN"):
        check_config(config(http=http))
    check_config(config(http=http, token=TOKEN))


@pytest.mark.parametrize("http", [None, "127.0.0.1:1", "[::1]:1", "localhost:1"])
def test_this_machine_is_served_without(http: str | None) -> None:
    check_config(config(http=http))


def test_a_config_survives_json() -> None:
    settings = ServerSettings(
        http="127.0.0.1:1",
        allowed_hosts=("a", "b:2"),
        token=Secret(TOKEN),
        limits=ServerLimits(clients_max=3),
    )
    made = ServerConfig(settings, log_json=True)
    text = json.dumps(made.as_json())
    assert TOKEN not in text + repr(made)
    assert ServerConfig.from_json(json.loads(text), Secret(TOKEN)) == made
    assert ServerConfig.from_json({"settings": {"http": None}}) == ServerConfig()
