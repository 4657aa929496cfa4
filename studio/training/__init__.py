"""Training from pictures: LoRA, DreamBooth, textual inversion and full fine-tuning."""
