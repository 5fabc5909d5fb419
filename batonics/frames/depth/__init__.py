"""Books as frames: levels, depth at the ends of windows, and whole books."""
