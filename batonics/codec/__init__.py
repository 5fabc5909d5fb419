"""Bytes to batches and back: DBN, NDJSON, zstd, Arrow. No I/O: no file, socket or clock.

Nothing is re-exported, so a caller imports only what its form needs (`codec.dbn` needs no pyarrow).
"""
