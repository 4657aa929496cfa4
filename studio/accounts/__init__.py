"""Who has an account here, and what opens it: passwords, sessions, tokens, one-time links."""
