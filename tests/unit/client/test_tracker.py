"""What a client asks for on a new connection."""

from __future__ import annotations

from typing import Any

from batonics.client.tracker import BookTracker


def clock(*, is_playing: bool, request_id: str | None) -> dict[str, Any]:
    return {
        "type": "clock",
        "record": 50,
        "is_playing": is_playing,
        "speed": 2.0,
        "has_ended": False,
        "id": request_id,
    }


def test_a_connection_that_is_lost_before_it_plays_does_not_stop_the_clock() -> None:
    """The reply to the seek of a new connection says that it stands still."""
    tracker = BookTracker()
    tracker.take(clock(is_playing=True, request_id="batonics-1"))
    seek, play = tracker.requests_to_resume()
    assert (seek["op"], seek["at"], play["op"]) == ("seek", "record:50", "play")
    tracker.take(clock(is_playing=False, request_id=seek["id"]))
    assert tracker.requests_to_resume() == [seek, play]
    tracker.take(clock(is_playing=False, request_id="batonics-2"))
    assert [request["op"] for request in tracker.requests_to_resume()] == ["seek", "speed"]
