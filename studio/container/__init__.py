"""What the image runs, of the standard library alone: it has to be there before all else is."""
