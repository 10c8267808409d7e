"""What the CPU kernels share: how they are described, chosen and built."""
