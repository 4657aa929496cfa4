"""Journeys of a real Chromium through the page of a real server."""
