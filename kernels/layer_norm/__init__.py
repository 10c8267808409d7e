"""The layer normalisation operator, with the residual sum before it."""
