"""The command lines: flags, one call of the library each, and what is printed."""
