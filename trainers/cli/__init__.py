"""The command line of the trainers."""
