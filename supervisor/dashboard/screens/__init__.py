"""Screens on top of the main one: run details, confirmation, help."""
