"""Lists, simulates and tunes Ascend kernels: ours, and operators of public repositories."""
