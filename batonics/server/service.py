"""What the parts of a running server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from batonics.server.config import ListenAddress, ServerConfig
from batonics.server.ingest_link import IngestLink
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


@dataclass
class Service:
    """One server.

    Attributes:
        config: how to serve.
        address: where it listens; None without HTTP.
        mirror: the books.
        link: to ingest.
        metrics: what is counted.
        log: the room's logger.
    """

    config: ServerConfig
    address: ListenAddress | None
    replica: BookReplica
    link: IngestLink
    metrics: Metrics
    log: FilteringBoundLogger
