"""Files as a live feed: a replay at any speed, plain or by the vendor's live protocol."""
