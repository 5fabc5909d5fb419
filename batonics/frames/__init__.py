"""The Polars side: events, books and windows as frames, by vectorised expressions only."""
