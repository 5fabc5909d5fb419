"""The feed that a session's subscriptions make: names and answers, then the records asked for.

The rule here: whatever a subscription says, it gets an answer, an acknowledgement or an ErrorMsg.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace

import numpy as np

from batonics.codec import gateway as lines
from batonics.codec.messages import (
    ERROR_SUBSCRIPTION,
    ERROR_SYMBOL,
    SYSTEM_REPLAY_COMPLETED,
    SYSTEM_SUBSCRIPTION_ACK,
    write_error_message,
    write_symbol_mapping,
    write_system_message,
)
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.gateway.dbn_feed import BytesLike, FeedPiece, cut_piece
from batonics.gateway.merge import merge_by_time
from batonics.gateway.replay_files import STYPES, ReplayFiles
from batonics.gateway.schema_records import SessionRequest, record_pieces
from batonics.model.errors import UsageError
from batonics.model.symbols import MappingInterval


class SessionFeed:
    """What a session brings: metadata, names and answers, then the records that it asked for.

    Args:
        library: the files.
        subscriptions: what is wanted, or why it could not be read.
        place_ns: the client's place in the feed: where a subscription without a start begins;
            None: the feed's beginning.
        reached_ns: how far the feed has been live: whoever asks for a start is sent what is due
            until then at once, and then told that the replay is complete. None: all of it.

    Attributes:
        opening, live_ns: as `Feed` has them.
        asks_for_time: whether a subscription has a start of its own.
        asks_for_books: whether one wants a snapshot.
    """

    def __init__(
        self,
        replay_files: ReplayFiles,
        subscriptions: Sequence[lines.SubscriptionRequest | str],
        place_ns: int | None,
        reached_ns: int | None,
    ) -> None:
        self._library, self._reached_ns = replay_files, reached_ns
        self._wanted: list[SessionRequest] = []
        self._names: dict[tuple[str, MappingInterval], bytes] = {}
        self._answers: list[bytes] = []
        self._stypes: set[str] = set()
        starts = [place_ns or replay_files.first_ns]
        for subscription in subscriptions:
            if isinstance(subscription, str):
                self._refuse(ERROR_SUBSCRIPTION, subscription)
            else:
                self._add(subscription)
                starts.append(max(subscription.start_ns or starts[0], replay_files.first_ns))
        self.now_ns = min(starts)
        self.has_start = any(wanted.start_ns is not None for wanted in self._wanted)
        self.has_snapshot = any(wanted.snapshot for wanted in self._wanted)
        self.live_ns = -1 if reached_ns is None or not self.has_start else reached_ns
        self.opening: BytesLike = b"".join([self._metadata(), *self._first_names(), *self._answers])

    def rewind(self, by_ns: int) -> None:
        """Begin so much before the times that are asked for."""
        for wanted in self._wanted:
            if wanted.start_ns is not None:
                wanted.start_ns = max(wanted.start_ns - by_ns, 0)

    def pieces(
        self,
        start_ns: int | None,
        *,
        indexed: bool,  # noqa: ARG002 - they always are
    ) -> Generator[FeedPiece, None, None]:
        """The records of all subscriptions by their time; of those without a start from one on."""
        with ExitStack() as stack:
            streams: list[Iterator[FeedPiece]] = [
                stack.enter_context(
                    closing(record_pieces(self._library.paths, self._placed(wanted, start_ns)))
                )
                for wanted in self._wanted
            ]
            later = self._later_names()
            if later is not None:
                streams.insert(0, iter([later]))
            pieces: Iterator[FeedPiece] = merge_by_time(streams)
            schemas = [wanted.schema for wanted in self._wanted if wanted.start_ns is not None]
            if schemas:
                pieces = _with_completion(pieces, self._reached_ns, schemas)
            yield from pieces

    def _placed(self, wanted: SessionRequest, start_ns: int | None) -> SessionRequest:
        return wanted if wanted.start_ns is not None else replace(wanted, start_ns=start_ns)

    def _add(self, subscription: lines.SubscriptionRequest) -> None:
        """Take a line of a subscription, or tell the client what is wrong with it."""
        try:
            found = self._library.find(subscription)
        except UsageError as error:
            self._refuse(ERROR_SUBSCRIPTION, str(error))
            return
        self._stypes.add(subscription.stype_in)
        for name in found.unknown:
            self._refuse(ERROR_SYMBOL, f"symbol {name!r} could not be resolved")
        stype = STYPES[subscription.stype_in]
        for name, interval in found.mappings:
            self._names[name, interval] = write_symbol_mapping(
                interval.instrument_id, self._library.first_ns, stype, name, interval.symbol
            )
        if found.instrument_ids == set():
            return
        self._want(subscription, found.instrument_ids)
        if subscription.is_last:
            number = f" {subscription.id}" if subscription.id else ""
            text = f"Subscription request{number} for {subscription.schema} data succeeded"
            self._answer(SYSTEM_SUBSCRIPTION_ACK, text)

    def _want(self, subscription: lines.SubscriptionRequest, ids: set[int] | None) -> None:
        """Join what is wanted of one schema and start: a line holds a part of the symbols only."""
        new = SessionRequest(subscription.schema, ids, subscription.start_ns, subscription.snapshot)
        for wanted in self._wanted:
            if replace(wanted, instrument_ids=ids) == new:
                every = wanted.instrument_ids is None or ids is None
                wanted.instrument_ids = (
                    None if every else (wanted.instrument_ids or set()) | (ids or set())
                )
                return
        self._wanted.append(new)

    def _refuse(self, code: int, text: str) -> None:
        self._answers.append(write_error_message(code, text, self._library.first_ns))

    def _answer(self, code: int, text: str) -> None:
        self._answers.append(write_system_message(code, text, self._library.first_ns))

    def _metadata(self) -> bytes:
        """As a live session has it: of no single schema, without names, without an end."""
        stypes = {STYPES[name] for name in self._stypes}
        return encode_metadata(
            Metadata(
                dataset=self._library.dataset,
                schema=None,
                start=self.now_ns,
                stype_in=stypes.pop() if len(stypes) == 1 else None,
            )
        )

    def _first_names(self) -> list[bytes]:
        """The names that hold as the session begins, each once."""
        now_ns = self.now_ns
        holding = [
            record
            for (_, interval), record in self._names.items()
            if interval.start_ns <= now_ns < interval.end_ns
        ]
        return list(dict.fromkeys(holding))

    def _later_names(self) -> FeedPiece | None:
        """The names that come to hold as the feed goes on, at their times."""
        later = sorted(
            (interval.start_ns, record)
            for (_, interval), record in self._names.items()
            if interval.start_ns > self.now_ns
        )
        if not later:
            return None
        data = b"".join(record for _, record in later)
        ends = np.arange(1, len(later) + 1, dtype=np.int64) * (len(data) // len(later))
        return FeedPiece(data, ends, np.array([start_ns for start_ns, _ in later], np.int64))


def _with_completion(
    pieces: Iterator[FeedPiece], reached_ns: int | None, schemas: list[str]
) -> Iterator[FeedPiece]:
    """The pieces, and where they get to what has been live already, or to the end, a word on it."""
    due_ns, told = 0, False
    for piece in pieces:
        due = piece.due_ns
        if due is None or told or reached_ns is None or due[-1] <= reached_ns:
            yield piece
        else:
            cut = int(np.searchsorted(due, reached_ns, side="right"))
            yield cut_piece(piece, 0, cut)
            yield _completion(due_ns if cut == 0 else int(due[cut - 1]), schemas)
            yield cut_piece(piece, cut, len(due))
            told = True
        due_ns = due_ns if due is None else int(due[-1])
    if not told:
        yield _completion(due_ns, schemas)


def _completion(due_ns: int, schemas: list[str]) -> FeedPiece:
    records = [
        write_system_message(SYSTEM_REPLAY_COMPLETED, f"Finished {schema} replay", due_ns)
        for schema in schemas
    ]
    ends = np.cumsum([len(record) for record in records], dtype=np.int64)
    return FeedPiece(b"".join(records), ends, np.full(len(records), due_ns, np.int64))
