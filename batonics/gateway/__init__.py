"""Files as a live feed: replay at any speed, plain or by the vendor's live protocol."""
