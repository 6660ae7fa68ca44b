"""The unix socket between the engine and its clients: JSON lines, one request, one reply."""
