"""Active learning: choose points, simulate them, and follow what was found."""
