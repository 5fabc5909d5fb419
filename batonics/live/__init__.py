"""Live books: a feed in, exact books out, published to whoever serves them."""
