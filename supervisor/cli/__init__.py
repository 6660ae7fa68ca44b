"""The command line `pmssm-supervise`, and everything that is printed as text."""
