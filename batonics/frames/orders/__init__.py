"""The lives of orders, their places in queues, and simulated fills."""
