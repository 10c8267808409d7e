"""What the Ascend kernels share: how they are described, how their operator project is generated."""
