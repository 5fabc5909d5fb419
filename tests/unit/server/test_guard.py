"""Who may ask: the whole matrix of hosts, origins, tokens and addresses, with no way around."""

from __future__ import annotations

import itertools

import pytest

from batonics.model.secret import Secret
from batonics.server.guard import (
    RequestFacts,
    Rules,
    check_request,
    is_allowed_origin,
    read_tokens,
)

TOKEN = "0123456789abcdef0123456789abcdef"
PORT = 8080
LOCALS = ("127.0.0.1", "192.168.7.5", "::1", "fe80::1%eth0", "::ffff:10.0.0.1")
OWN = {
    "127.0.0.1": "127.0.0.1",
    "192.168.7.5": "192.168.7.5",
    "::1": "[::1]",
    "fe80::1%eth0": "[fe80::1]",
    "::ffff:10.0.0.1": "10.0.0.1",
}
GOOD_HOSTS = ("localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080", "books.example",
              "books.example:443", "Books.Example:8080", "proxy.example:9000")  # fmt: skip
BAD_HOSTS = (
    "", " ", "evil.example", "evil.example:8080", "localhost", "localhost:80", "localhost:8081",
    "127.0.0.1", "127.0.0.1:", "127.0.0.2:8080", "[::1]", "::1:8080", "0.0.0.0:8080", "[::]:8080",
    "localhost.:8080", "localhost.evil.example:8080", "evil.example/localhost:8080",
    "localhost:8080@evil.example", "evil@localhost:8080", "localhost:8080,evil.example",
    "localhost:8080 evil.example", "localhost:08080x", "127.1:8080", "2130706433:8080",
    "0x7f.0.0.1:8080", "proxy.example", "proxy.example:8080", "sub.books.example",
    "books.example.evil", "booksxexample", "localhost:8080\n", "\x00localhost:8080", "*",
    "localhost:٨٠٨٠", "l\u043ecalhost:8080",  # other digits, a Cyrillic letter
)  # fmt: skip
BAD_ORIGINS = (
    "", "null", "http://evil.example", "https://evil.example", "http://evil.example:8080",
    "http://localhost", "http://localhost:8081", "http://localhost:8080.evil.example",
    "http://localhost:8080@evil.example", "ftp://localhost:8080", "file://",
    "http://localhost:8080/", "localhost:8080", "https://page.example.evil",
    "http://page.example", "https://page.example:444", "chrome-extension://abcdef",
)  # fmt: skip
GOOD_TOKENS = (
    ((f"Bearer {TOKEN}",), ()),
    ((f"bearer  {TOKEN} ",), ()),
    ((), (f"batonics, bearer.{TOKEN}",)),
    ((), ("batonics", f"bearer.{TOKEN}")),
)
BAD_TOKENS = (
    ((), ()),
    (("",), ()),
    ((TOKEN,), ()),
    (("Bearer",), ()),
    (("Bearer ",), ()),
    ((f"Basic {TOKEN}",), ()),
    ((f"Bearer {TOKEN[:-1]}",), ()),
    ((f"Bearer {TOKEN}0",), ()),
    ((f"Bearer {TOKEN.upper()}",), ()),
    ((f"Bearer {TOKEN}, Bearer x",), ()),
    (("Bearer x", f"Bearer {TOKEN}"), ()),
    ((f"Bearer {TOKEN}",), ("bearer.x",)),
    (("Bearer x",), (f"bearer.{TOKEN}",)),
    (("Bearer \udcff",), ()),
    ((), (TOKEN,)),
    ((), (f"Bearer.{TOKEN}x",)),
    ((), ("batonics, bearer.",)),
)
RULES = Rules(
    Secret(TOKEN),
    allowed_hosts=("books.example", "Proxy.example:9000"),
    allowed_origins=("https://page.example",),
)


def asked(
    host: str = "localhost:8080",
    origin: str | None = None,
    token: tuple[tuple[str, ...], tuple[str, ...]] = GOOD_TOKENS[0],
    local: str = "127.0.0.1",
    **more: object,
) -> RequestFacts:
    fields: dict[str, object] = {
        "target": "/book?symbol=X",
        "parameters": ("symbol",),
        "hosts": [host],
        "origins": [] if origin is None else [origin],
        "authorizations": token[0],
        "protocols": token[1],
        "encodings": [],
        "has_body": False,
        "local": (local, PORT),
    }
    return RequestFacts(**{**fields, **more})  # type: ignore[arg-type]


def test_the_matrix_has_no_way_around() -> None:
    let_in = refused = 0
    tokens = [(token, True) for token in GOOD_TOKENS] + [(token, False) for token in BAD_TOKENS]
    for local in LOCALS:
        hosts = [(host, True) for host in (*GOOD_HOSTS, f"{OWN[local]}:{PORT}")]
        hosts += [(host, False) for host in BAD_HOSTS]
        hosts += [(f"{own}:{PORT}", False) for own in OWN.values()
                  if own not in (OWN[local], "127.0.0.1", "[::1]")]  # fmt: skip
        for (host, good_host), (token, good_token) in itertools.product(hosts, tokens):
            origins: list[tuple[str | None, bool]] = [
                (None, True),
                (f"http://{host}", good_host),
                (f"https://{host}", good_host),
                ("https://page.example", True),
                ("HTTPS://Page.Example", True),
            ]
            origins += [(o, False) for o in BAD_ORIGINS if not o.lower().endswith(f"//{host}")]
            for origin, good_origin in origins:
                found = check_request(asked(host, origin, token, local), RULES)
                good = good_host and good_origin and good_token
                assert (found is None) == good, (local, host, origin, token, found)
                if found is not None:
                    assert found.status in (400, 401, 403)
                let_in, refused = let_in + good, refused + (not good)
    assert let_in > 500
    assert refused > 50_000


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_files_of_the_page_need_no_token_but_everything_else(
    token: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    assert check_request(asked(token=token, is_page=True), RULES) is None
    for change in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
        found = check_request(asked(token=token, is_page=True, **change), RULES)
        assert found is not None
        assert found.status == 403


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_without_a_token_none_is_asked_for(
    token: tuple[tuple[str, ...], tuple[str, ...]],
) -> None:
    assert check_request(asked(token=token), Rules(None)) is None


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"hosts": []}, 400, "host"),
        ({"hosts": ["localhost:8080", "evil.example"]}, 400, "host"),
        ({"hosts": ["localhost:8080", "localhost:8080"]}, 400, "host"),
        ({"origins": ["http://localhost:8080", "http://evil.example"]}, 400, "origin"),
        ({"target": "http://evil.example/book"}, 400, "target"),
        ({"target": "evil.example:80"}, 400, "target"),
        ({"target": "*"}, 400, "target"),
        ({"encodings": ["deflate"]}, 415, "content_encoding"),
        ({"encodings": ["identity"]}, 415, "content_encoding"),
        ({"has_body": True}, 413, "body"),
        ({"takes_body": True, "encodings": ["gzip"]}, 415, "content_encoding"),
        ({"parameters": ("symbol", "token")}, 400, "url_token"),
        ({"parameters": ("Access_Token",)}, 400, "url_token"),
    ],
)
def test_what_a_request_may_not_be(change: dict[str, object], status: int, reason: str) -> None:
    for rules in (RULES, Rules(None)):
        found = check_request(asked(**change), rules)  # type: ignore[arg-type]
        assert found is not None
        assert (found.status, found.reason) == (status, reason)


def test_a_token_says_whether_it_was_missing_or_wrong() -> None:
    missing = check_request(asked(token=((), ())), RULES)
    wrong = check_request(asked(token=(("Bearer x",), ())), RULES)
    assert missing is not None
    assert wrong is not None
    assert (missing.reason, wrong.reason) == ("no_token", "wrong_token")
    assert missing.status == wrong.status == 401


def test_pieces() -> None:
    assert read_tokens(["Bearer a", "Basic b"], ["batonics, bearer.c"]) == ["a", "c"]
    assert is_allowed_origin("http://books.example", "books.example", RULES)
    assert not is_allowed_origin("http://books.example:80", "books.example", RULES)
