"""Polars frames derived from MBO records: books, depth, measures, bars and orders."""
