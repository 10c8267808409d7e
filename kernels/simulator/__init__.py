"""Runs Ascend C kernels on the host: functionally simulated; not compiled with bisheng, not run on an NPU."""
