"""The parts of the main screen, one widget per file."""
