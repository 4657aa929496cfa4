"""Settings inside picture files: written so that other tools read them, read from other tools.

`files` is the way in and out; the other modules know one form each.
"""
