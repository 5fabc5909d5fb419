"""Bytes to batches and back: DBN, NDJSON, zstd, Arrow. Sans I/O: no file, socket or clock here.

Nothing is re-exported, so that a caller pays the import of one form only (`codec.dbn` needs no
pyarrow).
"""
