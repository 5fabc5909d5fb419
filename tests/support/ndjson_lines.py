"""A short NDJSON feed of three symbols, in two parts."""

from __future__ import annotations

NDJSON_1 = b"""\
{"type":"add","symbol":"AAA","side":"bid","oid":1,"px":100000000000,"qty":10,"seq":1,"ts_ns":1}
{"type":"add","symbol":"AAA","side":"bid","oid":2,"px":100000000000,"qty":5,"seq":2,"ts_ns":2}
{"type":"add","symbol":"BBB","side":"ask","oid":1,"px":101500000000,"qty":7,"seq":3,"ts_ns":3}
{"type":"fill","symbol":"AAA","oid":1,"qty":4,"seq":4,"ts_ns":4}
"""
NDJSON_2 = b"""\
{"type":"modify","symbol":"BBB","oid":1,"qty":3,"seq":5,"ts_ns":5}
{"type":"add","symbol":"CCC","side":"bid","oid":9,"px":1,"qty":1,"seq":6,"ts_ns":6}
{"type":"modify","symbol":"AAA","oid":1,"qty":8,"seq":7,"ts_ns":7}
{"type":"cancel","symbol":"CCC","oid":9,"seq":8,"ts_ns":8}"""
