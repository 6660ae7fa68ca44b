"""Train one model: loop, step, optimizers, checkpoints, metrics."""
