"""`report`: all models of a session on one page."""
