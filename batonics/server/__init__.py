"""Serving live books: HTTP, WebSocket, metrics and the terminal, in a process of its own."""
