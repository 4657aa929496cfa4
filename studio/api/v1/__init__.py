"""The studio's own REST API: its requests, jobs, pictures, models, runs and readers, typed."""
