"""The pictures that are learnt from: where they lie, what they say, how they are cut."""
