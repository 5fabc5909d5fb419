"""Outputs. A file gets its name only once it is complete, or never."""
