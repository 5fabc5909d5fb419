"""The lake: immutable Parquet parts, a transactional catalog of them, SQL over both."""
