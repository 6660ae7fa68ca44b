"""The three regressors, one a file."""
