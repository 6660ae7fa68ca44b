"""The process that owns a session. Imports nothing: `__main__` must block two imports first."""
