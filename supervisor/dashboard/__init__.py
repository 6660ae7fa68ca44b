"""The Textual face of the supervisor."""
