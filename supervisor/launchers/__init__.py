"""Ways to start an attempt. `base` describes what a launcher must do, `registry` lists the launchers."""
