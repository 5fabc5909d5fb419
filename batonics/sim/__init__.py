"""A simulated exchange: a stream of MBO records, and the books that they must rebuild.

It shares no code with `batonics.book`, so agreement of the two is evidence for both.
"""
