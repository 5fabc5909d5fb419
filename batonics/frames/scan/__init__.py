"""MBO records as LazyFrames, and what every derived frame is built from."""
