"""The attention operator."""
