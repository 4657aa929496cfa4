"""Models that are one file in the layout of their first authors, not a folder of parts."""
