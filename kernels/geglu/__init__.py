"""The gated GELU operator."""
