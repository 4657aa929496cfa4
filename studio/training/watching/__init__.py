"""Looking at a training: scores of its samples, its curves in words, and grids of its checkpoints."""
