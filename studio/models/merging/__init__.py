"""New models from those that are here: merged, with LoRAs baked in, or a LoRA out of two."""
