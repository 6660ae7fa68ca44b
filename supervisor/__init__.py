"""Supervises training runs: starts, watches, stops and recovers them."""
