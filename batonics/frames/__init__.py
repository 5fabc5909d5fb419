"""The Polars side: events, books and windows as frames. Vectorised expressions, no loop over rows."""
