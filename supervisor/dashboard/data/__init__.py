"""Data behind the dashboard's widgets, independent of Textual."""
