"""The health check of a picture set before every launch, and what mends it at one press."""
