"""Exact books: a compiled fold over MBO records, with its state in plain arrays."""
