"""Data behind the dashboard's widgets: no Textual here."""
