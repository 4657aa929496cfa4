"""Fine-tuning of an encoder to a reader, in a process of its own that can be killed at any time."""
