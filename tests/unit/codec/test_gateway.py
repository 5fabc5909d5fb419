"""The lines of the live protocol: as the vendor's client writes and reads them."""

from __future__ import annotations

import pytest
from databento.common.cram import get_challenge_response
from databento.live import gateway as vendor_gateway
from databento.live.gateway import (
    AuthenticationRequest,
    AuthenticationResponse,
    ChallengeRequest,
    Greeting,
    SessionStart,
    parse_gateway_message,
)

from batonics.codec.gateway import (
    HEARTBEAT_S,
    START_SESSION,
    Authentication,
    SubscriptionRequest,
    auth_line,
    challenge_line,
    challenge_reply,
    greeting_line,
    is_proof,
    is_start,
    is_well_formed,
    parse_authentication,
    parse_line,
    parse_subscription,
    refusal_line,
    subscription_line,
    welcome_line,
    write_line,
)
from batonics.model.errors import InputError, UsageError

KEY = "db-" + "a1B2" * 7 + "c"


def test_the_reply_to_a_challenge_is_the_vendors() -> None:
    reply = challenge_reply("abc", KEY)
    assert reply == get_challenge_response("abc", KEY)
    assert is_proof(reply, "abc", KEY)
    assert not is_proof(reply, "abd", KEY)
    assert is_well_formed(reply)


@pytest.mark.parametrize("auth", ["", "x", "0" * 64, "0" * 64 + "-abcd", "g" * 64 + "-abcde"])
def test_an_answer_of_another_form_is_known(auth: str) -> None:
    assert not is_well_formed(auth)
    assert not is_proof(auth, "abc", KEY)


def test_the_vendors_client_reads_what_the_server_says() -> None:
    assert parse_gateway_message(greeting_line("0.6.0").decode()) == Greeting("0.6.0")
    assert parse_gateway_message(challenge_line("abc").decode()) == ChallengeRequest("abc")
    welcome = parse_gateway_message(welcome_line("5").decode())
    assert welcome == AuthenticationResponse(success="1", session_id="5")
    refusal = parse_gateway_message(refusal_line("no | such\nkey").decode())
    assert refusal == AuthenticationResponse(success="0", error="no such key")


def test_what_the_vendors_client_says_is_read() -> None:
    request = AuthenticationRequest(
        auth="x", dataset="GLBX.MDP3", compression="zstd", heartbeat_interval_s=7, client="c"
    )
    assert parse_authentication(bytes(request)) == Authentication(
        "x", "GLBX.MDP3", compression="zstd", heartbeat_interval_s=7, client="c"
    )
    line = bytes(
        vendor_gateway.SubscriptionRequest("mbo", "raw_symbol", "A,B", start=5, id=3, is_last=0)
    )
    expected = SubscriptionRequest("mbo", ("A", "B"), start_ns=5, id="3", is_last=False)
    assert parse_subscription(line) == expected
    assert is_start(bytes(SessionStart()))


def test_the_vendors_server_would_read_what_our_client_says() -> None:
    theirs = AuthenticationRequest.parse(auth_line("abc", KEY, "GLBX.MDP3"))
    assert theirs.auth == get_challenge_response("abc", KEY)
    assert theirs.heartbeat_interval_s is None
    line = subscription_line("mbo", ["A", "B"], snapshot=True, id=4)
    assert vendor_gateway.SubscriptionRequest.parse(line).symbols == "A,B"
    assert parse_subscription(line) == SubscriptionRequest("mbo", ("A", "B"), snapshot=True, id="4")
    assert SessionStart.parse(START_SESSION) == SessionStart()


def test_both_ways_to_start_are_taken() -> None:
    assert is_start(b"start_session\n")
    assert is_start(START_SESSION)
    assert not is_start(subscription_line("mbo", ["start_session"]))


def test_lines_are_read_leniently() -> None:
    line = b"auth=x|dataset=D|new=1|heartbeat_interval_s=None|flag|\r\n"
    assert parse_line(line)["flag"] == ""
    assert parse_authentication(line) == Authentication("x", "D")
    assert parse_authentication(line).heartbeat_interval_s == HEARTBEAT_S
    iso = b"schema=mbo|symbols= A , B,|start=1970-01-01T00:00:01Z\n"
    assert parse_subscription(iso) == SubscriptionRequest("mbo", ("A", "B"), start_ns=10**9)


@pytest.mark.parametrize(
    "line",
    [
        b"schema=mbo\n",
        b"symbols=A\n",
        b"schema=mbo|symbols=,\n",
        b"schema=mbo|symbols=A|snapshot=1|start=5\n",
        b"schema=mbo|symbols=A|snapshot=yes\n",
        b"schema=mbo|symbols=A|start=later\n",
        b"schema=mbo|symbols=" + b"A," * 501 + b"\n",
        b"schema=\xff|symbols=A\n",
    ],
)
def test_a_subscription_that_means_nothing_is_refused(line: bytes) -> None:
    with pytest.raises(InputError, match="gateway: "):
        parse_subscription(line)


@pytest.mark.parametrize(
    "line", [b"auth=x\n", b"dataset=D\n", b"auth=x|dataset=D|heartbeat_interval_s=-1\n"]
)
def test_an_authentication_that_means_nothing_is_refused(line: bytes) -> None:
    with pytest.raises(InputError, match="gateway: "):
        parse_authentication(line)


def test_what_would_break_a_line_is_not_written() -> None:
    with pytest.raises(UsageError, match="cannot say"):
        write_line({"a": "b|c"})
    with pytest.raises(UsageError, match="symbols in a line"):
        subscription_line("mbo", [])
    with pytest.raises(UsageError, match="exclude each other"):
        subscription_line("mbo", ["A"], start_ns=1, snapshot=True)
