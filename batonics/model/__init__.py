"""The vocabulary of market-by-order data: records, flags, prices, times, symbols, errors.

Imports nothing of ours and nothing heavy, so that every room and `batonics --help` may use it.
"""
