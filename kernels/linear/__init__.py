"""The dense layer: rows times a weight matrix."""
