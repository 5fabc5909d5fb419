"""The state that the parts of a running server share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from batonics.server.config import ListenAddress, ServerConfig
from batonics.server.ingest_link import IngestLink
from batonics.server.metrics import Metrics
from batonics.server.replica import BookReplica
from batonics.server.request_rate import RequestRate

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


class WebService(Protocol):
    """What every web application here has.

    Attributes:
        config: the settings and the kind of output.
        metrics: the counts of this process.
        log: the logger of this room.
        rate: the time that the requests of each address may take.
    """

    config: ServerConfig
    metrics: Metrics
    log: FilteringBoundLogger
    rate: RequestRate


@dataclass
class Service:
    """One server of a live feed.

    Attributes:
        config: the settings and the kind of output.
        address: the address that the server listens on; None without HTTP.
        replica: the books.
        link: the connection to ingest.
        metrics: the counts of this process.
        log: the logger of this room.
        rate: the time that the requests of each address may take.
    """

    config: ServerConfig
    address: ListenAddress | None
    replica: BookReplica
    link: IngestLink
    metrics: Metrics
    log: FilteringBoundLogger
    rate: RequestRate
