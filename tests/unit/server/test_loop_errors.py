"""What goes wrong in the server's loop is a line, not a traceback without end."""

from __future__ import annotations

import asyncio
import errno

import orjson
import pytest

from batonics.server.listening import LoopErrors
from tests.support.log_lines import configured_logs

TOKEN = "0123456789abcdef0123456789abcdef"


def fail(token: str) -> None:
    raise ValueError(f"{len(token)} letters")


def raised_error() -> Exception:
    with pytest.raises(ValueError, match="letters") as caught:
        fail(TOKEN)
    return caught.value


def test_errors_of_the_loop_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    async def report() -> None:
        loop, errors = asyncio.get_running_loop(), LoopErrors(60.0)
        for _ in range(1_000):
            errors(loop, {"message": "socket.accept()", "exception": OSError(errno.EMFILE, "many")})
            errors(loop, {"message": "a client has gone", "exception": ConnectionResetError()})
        errors(loop, {"message": "a bug", "exception": raised_error()})
        errors(loop, {"message": "no exception"})

    with configured_logs():
        asyncio.run(report())
    err = capsys.readouterr().err
    lines = [orjson.loads(line) for line in err.splitlines()]
    assert [line["event"] for line in lines] == ["cannot_accept", "loop_error", "loop_error"]
    assert lines[0]["reason"] == "many"
    assert "32 letters" in err
    assert TOKEN not in err
