"""A simulated exchange that speaks MBO and knows its own book, to check ours against.

It shares no code with `batonics.book`: two derivations that agree are worth more than one.
"""
