"""Log files of runs: follow, sanitize, page, merge, search; progress and metrics found in them."""
