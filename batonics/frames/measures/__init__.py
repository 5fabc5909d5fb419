"""Measures of books and trades, and bars of trades."""
