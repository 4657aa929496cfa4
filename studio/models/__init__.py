"""Models: which there are, what they need, and the one place that loads them."""
