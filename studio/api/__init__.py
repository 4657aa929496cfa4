"""HTTP routes: one of the two doors."""
