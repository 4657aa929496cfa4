"""What each method trains of a loaded model; they share the loop."""
