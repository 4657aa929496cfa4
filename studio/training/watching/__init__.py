"""Looking at a training: scores of its samples, its curves in words, grids of checkpoints."""
