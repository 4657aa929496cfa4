"""The panels of the Train tab."""
