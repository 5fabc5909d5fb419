"""Exact books: a fold over MBO records, compiled, with its state in plain arrays."""
