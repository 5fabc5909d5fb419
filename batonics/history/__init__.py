"""The books of files at any moment, from checkpoints and the records after them."""
