"""Where books go. Whatever is written appears whole under its name, or not at all."""
