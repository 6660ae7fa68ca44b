"""Ways to start an attempt: on this machine, or through a batch system."""
