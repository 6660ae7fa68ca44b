"""The models, one per file; `recipes` lists them with their optimizer settings."""
