"""How the server closes a WebSocket: with a reason, and without waiting for the client."""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import WSMsgType, web

from batonics.server import payloads
from batonics.server.fanout import CloseReason

FLUSH_POLL_S = 0.05
"""Interval between two checks that a client being closed has taken its last bytes."""
_REASON_BYTES_MAX = 123  # what a close frame can hold


async def close_websocket(
    transport: asyncio.WriteTransport | None,
    socket: web.WebSocketResponse,
    reason: CloseReason,
    timeout_s: float,
) -> None:
    """Send the reason, give the client some time to read it, and abort the connection.

    Args:
        transport: that of the connection; it is gone from the request once the connection is.
        socket: the WebSocket.
        reason: why; its label `ended` has a message `bye` before the close frame.
        timeout_s: the time that the client has.
    """
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(timeout_s):
            if reason.label == "ended":
                bye = payloads.dumps({"type": "bye", "reason": reason.text})
                await socket.send_frame(bye, WSMsgType.TEXT)
            message = reason.text.encode()[:_REASON_BYTES_MAX].decode(errors="ignore")
            await socket.close(code=reason.code, message=message.encode())
            await _flushed(transport)
    if transport is not None:
        transport.abort()


async def _flushed(transport: asyncio.WriteTransport | None) -> None:
    """Wait until all that was written has left this process: `abort` would drop it."""
    while transport is not None and transport.get_write_buffer_size():  # noqa: ASYNC110 - no event
        await asyncio.sleep(FLUSH_POLL_S)
