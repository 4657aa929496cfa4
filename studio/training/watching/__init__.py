"""Looking at a training: scores of samples, curves in words, grids of checkpoints."""
