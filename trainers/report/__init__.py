"""`report`: all models of a session side by side, on one page."""
