"""The process of a device: what it is told, what it tells, and how the server keeps it."""
