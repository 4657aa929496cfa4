"""The rules, one a file; each makes of a case an edit, or nothing where it does not apply."""
