"""How answers that never change are sent: with an ETag, and compressed.

The rule here: while a server of files runs, an answer depends on the request alone. So its ETag is
made of the request, and a client that has the answer gets 304 without another fold.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import sys

from aiohttp import ETag, hdrs, web

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSED_BYTES_MIN = 4_096
"""Size of an answer from which on it is compressed."""
_ZSTD_LEVEL = 3


class AnswerTags:
    """The ETags of one run of a server: another run may serve other files."""

    def __init__(self) -> None:
        self._run = secrets.token_bytes(16)

    def find(self, request: web.Request) -> ETag:
        """The weak ETag of the answer to a request, whatever its encoding."""
        digest = hashlib.blake2b(self._run, digest_size=16)
        for part in request.raw_path, request.headers.get(hdrs.ACCEPT, ""):
            digest.update(hashlib.sha256(part.encode("utf-8", "surrogateescape")).digest())
        return ETag(digest.hexdigest(), is_weak=True)

    def is_known(self, request: web.Request) -> bool:
        """Whether the client has the answer: If-None-Match has its ETag."""
        tag = self.find(request)
        return any(known.value == tag.value for known in request.if_none_match or ())


async def compress_answer(request: web.Request, response: web.Response) -> None:
    """Compress a long answer as the client accepts it: by zstd, gzip or deflate."""
    response.headers.add(hdrs.VARY, hdrs.ACCEPT_ENCODING)
    if (response.content_length or 0) < COMPRESSED_BYTES_MIN:
        return
    if "zstd" not in _accepted_encodings(request):
        response.enable_compression()
        return
    body = response.body
    response.body = await asyncio.to_thread(zstd.compress, body, _ZSTD_LEVEL)  # type: ignore[arg-type]  # bytes
    response.headers[hdrs.CONTENT_ENCODING] = "zstd"


def _accepted_encodings(request: web.Request) -> set[str]:
    """The encodings that Accept-Encoding names, apart from those with a weight of 0."""
    found = set()
    for part in request.headers.get(hdrs.ACCEPT_ENCODING, "").lower().split(","):
        name, _, weight = part.replace(" ", "").partition(";q=")
        if weight.strip("0.") or not weight:
            found.add(name)
    return found
