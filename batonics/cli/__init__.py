"""One file a command: parse, call a job, render. What a user sees is decided here, nothing else."""
