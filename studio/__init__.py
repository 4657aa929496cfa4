"""Atelier's backend: usable and testable without a web page."""

__version__ = "0.1.0"
