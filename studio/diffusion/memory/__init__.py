"""How much memory a job takes, and what it does when there is less."""
