"""Runs as people handle them: begun apart from the server, found again, paused, gone on with."""
