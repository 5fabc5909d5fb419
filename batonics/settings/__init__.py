"""Settings: the table, the sources of their values, and their printed form."""
