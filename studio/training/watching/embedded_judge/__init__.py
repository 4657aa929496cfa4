"""Tells what drawings show, where no larger model that judges pictures is installed."""
