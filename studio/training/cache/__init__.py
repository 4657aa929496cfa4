"""What is computed once and kept: latents of pictures and states of texts."""
