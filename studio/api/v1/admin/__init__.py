"""What administrators see of everybody's: routes under /api/v1/admin."""
