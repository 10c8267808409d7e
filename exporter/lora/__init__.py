"""LoRA files merged into a UNet's weights when a pipeline is compiled."""
