"""What the parts of a running server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batonics.server.config import Address, ServerConfig
from batonics.server.link import Link
from batonics.server.metrics import Metrics
from batonics.server.mirror import Mirror

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


@dataclass
class Service:
    """One server.

    Attributes:
        config: how to serve.
        token: what a client has to know; None: nothing.
        address: where it listens; None without HTTP.
        mirror: the books.
        link: to ingest.
        metrics: what is counted.
        log: the room's logger.
    """

    config: ServerConfig
    token: str | None
    address: Address | None
    mirror: Mirror
    link: Link
    metrics: Metrics
    log: FilteringBoundLogger
