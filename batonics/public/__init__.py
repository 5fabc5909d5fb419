"""The Python interface: what `import batonics` offers and no other room defines."""
