"""The feed of a session: names and answers to its subscriptions, then the records asked for.

The rule here: every subscription is answered, by an acknowledgement or by an ErrorMsg.
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
from batonics.gateway.feed_pieces import BytesLike, FeedPiece, cut_piece, unit_index
from batonics.gateway.merge import merge_by_time
from batonics.gateway.replay_files import STYPES, ReplayFiles
from batonics.gateway.schema_records import SessionRequest, record_pieces
from batonics.model.errors import UsageError
from batonics.model.symbols import IntervalMap, MappingInterval


class SessionFeed:
    """What a session sends: metadata, names and answers, then the records of its subscriptions.

    Args:
        replay_files: the files of the replay.
        subscriptions: the subscriptions; in place of a line that cannot be parsed, the error text.
        default_start_ns: where a subscription without a start begins; None: at the beginning.
        live_until_ns: the time until which the feed has been live; None: all of it has been. The
            records of a subscription with a start are sent at once until then, and a message says
            that the replay is complete.

    Attributes:
        header: as `ReplayFeed` has it.
        unpaced_until_ns: as `ReplayFeed` has it.
        now_ns: the time at which the session begins.
        has_start: whether any subscription has a start.
        has_snapshot: whether any subscription asks for a snapshot.
        has_mbo: whether any subscription is of MBO.
    """

    def __init__(
        self,
        replay_files: ReplayFiles,
        subscriptions: Sequence[lines.SubscriptionRequest | str],
        default_start_ns: int | None,
        live_until_ns: int | None,
    ) -> None:
        self._files, self._live_until_ns = replay_files, live_until_ns
        self._requests: list[SessionRequest] = []
        self._names: dict[tuple[str, MappingInterval], bytes] = {}
        self._answers: list[bytes] = []
        self._stypes: set[str] = set()
        starts = [default_start_ns or replay_files.first_ns]
        for subscription in subscriptions:
            if isinstance(subscription, str):
                self._refuse(ERROR_SUBSCRIPTION, subscription)
            else:
                self._subscribe(subscription)
                starts.append(max(subscription.start_ns or starts[0], replay_files.first_ns))
        self.now_ns = min(starts)
        self.has_start = any(request.start_ns is not None for request in self._requests)
        self.has_snapshot = any(request.snapshot for request in self._requests)
        self.has_mbo = any(request.schema == "mbo" for request in self._requests)
        self.unpaced_until_ns = -1
        if self.has_start and live_until_ns is not None:
            self.unpaced_until_ns = live_until_ns
        self.header: BytesLike = b"".join([self._metadata(), *self._first_names(), *self._answers])

    def rewind(self, by_ns: int) -> None:
        """Begin this much before every start that was asked for."""
        for request in self._requests:
            if request.start_ns is not None:
                request.start_ns = max(request.start_ns - by_ns, 0)

    def pieces(
        self,
        start_ns: int | None,
        *,
        indexed: bool,  # noqa: ARG002 - every piece is
    ) -> Generator[FeedPiece, None, None]:
        """The records of all subscriptions, by their time.

        Args:
            start_ns: the start of the subscriptions without a start; None: the beginning.
            indexed: ignored: every piece is indexed.
        """
        with ExitStack() as stack:
            streams: list[Iterator[FeedPiece]] = [
                stack.enter_context(
                    closing(
                        record_pieces(
                            self._files.paths, _start_at(request, start_ns), self._files.options
                        )
                    )
                )
                for request in self._requests
            ]
            later = self._later_names()
            if later is not None:
                streams.insert(0, iter([later]))
            pieces: Iterator[FeedPiece] = merge_by_time(streams)
            schemas = [request.schema for request in self._requests if request.start_ns is not None]
            if schemas:
                pieces = _add_completion(pieces, self._live_until_ns, schemas)
            yield from pieces

    def _subscribe(self, subscription: lines.SubscriptionRequest) -> None:
        """Take a line of a subscription, or answer with what is wrong."""
        try:
            resolved = self._files.resolve_symbols(subscription)
        except UsageError as error:
            self._refuse(ERROR_SUBSCRIPTION, str(error))
            return
        self._stypes.add(subscription.stype_in)
        for name in resolved.unknown:
            self._refuse(ERROR_SYMBOL, f"symbol {name!r} could not be resolved")
        stype = STYPES[subscription.stype_in]
        for name, interval in resolved.mappings:
            since_ns = max(interval.start_ns, self._files.first_ns)
            self._names[name, interval] = write_symbol_mapping(
                interval.instrument_id, since_ns, stype, name, interval.symbol
            )
        if resolved.spans is not None and not len(resolved.spans):
            return
        self._add_request(subscription, resolved.spans)
        if subscription.is_last:
            number = f" {subscription.id}" if subscription.id else ""
            text = f"Subscription request{number} for {subscription.schema} data succeeded"
            self._answer(SYSTEM_SUBSCRIPTION_ACK, text)

    def _add_request(
        self, subscription: lines.SubscriptionRequest, spans: IntervalMap[MappingInterval] | None
    ) -> None:
        """Add a request, or add its instruments to one of the same schema and start.

        One line has only some of the symbols of a large subscription.
        """
        schema, start_ns = subscription.schema, subscription.start_ns
        new = SessionRequest(schema, spans, start_ns, subscription.snapshot)
        for request in self._requests:
            if replace(request, spans=spans) == new:
                if request.spans is None or spans is None:
                    request.spans = None
                    return
                for span in spans.intervals():
                    request.spans.add(span)
                return
        self._requests.append(new)

    def _refuse(self, code: int, text: str) -> None:
        self._answers.append(write_error_message(code, text, self._files.first_ns))

    def _answer(self, code: int, text: str) -> None:
        self._answers.append(write_system_message(code, text, self._files.first_ns))

    def _metadata(self) -> bytes:
        """The metadata of a live session: without a single schema, names and an end."""
        stypes = {STYPES[name] for name in self._stypes}
        return encode_metadata(
            Metadata(
                dataset=self._files.dataset,
                schema=None,
                start=self.now_ns,
                stype_in=stypes.pop() if len(stypes) == 1 else None,
            )
        )

    def _first_names(self) -> list[bytes]:
        """The names that are valid when the session begins, each once."""
        now_ns = self.now_ns
        valid = [
            record
            for (_, interval), record in self._names.items()
            if interval.start_ns <= now_ns < interval.end_ns
        ]
        return list(dict.fromkeys(valid))

    def _later_names(self) -> FeedPiece | None:
        """The names that become valid during the session, each due at that time."""
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


def _start_at(request: SessionRequest, start_ns: int | None) -> SessionRequest:
    """The request, from `start_ns` on unless it has a start of its own."""
    return request if request.start_ns is not None else replace(request, start_ns=start_ns)


def _add_completion(
    pieces: Iterator[FeedPiece], live_until_ns: int | None, schemas: list[str]
) -> Iterator[FeedPiece]:
    """The pieces, with a message where the replay of earlier records is complete.

    The message comes before the first unit due after `live_until_ns`, or at the end.
    """
    due_ns, is_complete = 0, False
    for piece in pieces:
        _, due = unit_index(piece)
        if is_complete or live_until_ns is None or due[-1] <= live_until_ns:
            yield piece
        else:
            cut = int(np.searchsorted(due, live_until_ns, side="right"))
            yield cut_piece(piece, 0, cut)
            yield _completion(due_ns if cut == 0 else int(due[cut - 1]), schemas)
            yield cut_piece(piece, cut, len(due))
            is_complete = True
        due_ns = int(due[-1])
    if not is_complete:
        yield _completion(due_ns, schemas)


def _completion(due_ns: int, schemas: list[str]) -> FeedPiece:
    records = [
        write_system_message(SYSTEM_REPLAY_COMPLETED, f"Finished {schema} replay", due_ns)
        for schema in schemas
    ]
    ends = np.cumsum([len(record) for record in records], dtype=np.int64)
    return FeedPiece(b"".join(records), ends, np.full(len(records), due_ns, np.int64))
