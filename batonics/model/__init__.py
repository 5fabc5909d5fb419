"""The vocabulary of market-by-order data: records, flags, prices, times, symbols, errors.

It imports no other room and nothing heavy, so every room and `batonics --help` can use it.
"""
