"""The table of schemas, and the derivation of the vendor's schemas from MBO."""
