"""The REST API of AUTOMATIC1111's web UI: its routes, fields and answers on the studio's jobs."""
