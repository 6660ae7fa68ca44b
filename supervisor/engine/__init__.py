"""The process that owns a session. This file imports nothing: `__main__` must block two imports first."""
