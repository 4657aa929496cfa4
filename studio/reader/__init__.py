"""Reading: answers from texts, whether they are there at all, and the official scores."""
