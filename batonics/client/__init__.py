"""A client of /v1/ws that keeps books and proves that they are the server's.

It knows the documented protocol, and shares nothing with the server but the checksum.
"""

from batonics.client.async_client import AsyncClient
from batonics.client.books import LevelBook, OrderBook, TradesFeed
from batonics.client.sync_client import Client
from batonics.client.tracker import BookId, ClientError

__all__ = [
    "AsyncClient",
    "BookId",
    "Client",
    "ClientError",
    "LevelBook",
    "OrderBook",
    "TradesFeed",
]
