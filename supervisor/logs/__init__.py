"""Read the log files of runs: follow, sanitize, page, merge, search, measure progress."""
