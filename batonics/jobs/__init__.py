"""One file a job: sources, core and sinks wired together, for the commands and for Python."""
