"""Where bytes come from: files, pipes, standard input. The only rooms that read anything."""
