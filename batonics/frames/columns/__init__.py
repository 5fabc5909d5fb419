"""Names and dtypes of the columns of frames: MBO records, and the vendor's schemas."""
