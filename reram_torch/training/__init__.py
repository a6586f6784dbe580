"""Training and fine-tuning through the crossbars."""
