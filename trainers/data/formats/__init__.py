"""One reader a file format; all give chunks of the same columns."""
