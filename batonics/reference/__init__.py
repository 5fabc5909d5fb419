"""Books and orders derived a second time, without the engine, for `batonics verify`."""
