"""Computes the connections of a faulty replay without a server: what a single client receives."""

from __future__ import annotations

from typing import NamedTuple

from batonics.codec.metadata import DBN_MAGIC, parse_prefix
from batonics.gateway.fault_injector import REPLAY_START, FaultInjector
from batonics.gateway.faults import Fault, FaultCounts, Faults
from batonics.gateway.feed_pieces import FeedPiece, cut_piece
from batonics.gateway.record_index import RecordIndex


class FaultyConnection(NamedTuple):
    """One connection, as the client sees it.

    Attributes:
        chunks: the bytes received, with the metadata first; between two chunks is a stall.
        end: RST: the connection ends by a reset; CUT: it ends within a record; None: it ends after
            the last record.
    """

    chunks: tuple[bytes, ...]
    end: Fault | None


def simulate_connections(feed: bytes, faults: Faults) -> tuple[list[FaultyConnection], FaultCounts]:
    """The connections of a client that connects again whenever a fault has ended a connection.

    Args:
        feed: a DBN stream: complete records, with or without metadata before them.
        faults: how often each kind happens, and the seed.

    Returns:
        The connections, and the counts of all their faults.
    """
    header_bytes = parse_prefix(feed[:8]) if feed.startswith(DBN_MAGIC) else 0
    index = RecordIndex()
    pieces = list(index.feed(feed[header_bytes:]))
    index.close()
    position, fault_counts = REPLAY_START, FaultCounts()
    connections: list[FaultyConnection] = []
    while not connections or connections[-1].end is not None:
        injector = FaultInjector(faults, len(connections), position)
        connections.append(_simulate(injector, feed[:header_bytes], pieces))
        position = injector.position
        fault_counts.add(injector.fault_counts)
    return connections, fault_counts


def _simulate(injector: FaultInjector, header: bytes, pieces: list[FeedPiece]) -> FaultyConnection:
    chunks, chunk, to_skip = [], [header], injector.first_unit
    for piece in pieces:
        units = 0 if piece.ends is None else len(piece.ends)
        if to_skip >= units:
            to_skip -= units
            continue
        for step in injector.steps(cut_piece(piece, to_skip, units)):
            chunk.append(bytes(step.piece.data))
            if step.fault is Fault.STALL:
                chunks.append(b"".join(chunk))
                chunk = []
            elif step.fault is not None:
                return FaultyConnection((*chunks, b"".join(chunk)), step.fault)
        to_skip = 0
    return FaultyConnection((*chunks, b"".join(chunk)), None)
