"""Pure functions that turn values into text; no widgets."""
