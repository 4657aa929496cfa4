"""The database and the files beside it; SQL stays in here."""
