"""Live books: a feed in, exact books out, published to the process that serves them."""
