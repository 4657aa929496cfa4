"""From a source and a request to a changed picture."""
