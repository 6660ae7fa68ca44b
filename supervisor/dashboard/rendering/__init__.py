"""Values to text: pure functions, no widgets."""
