"""The Gradio page: one of two doors. Layout, then wiring, no work."""
