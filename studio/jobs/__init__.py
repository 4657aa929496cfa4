"""The queue of jobs, the workers that run them and the hooks around a run."""
