"""The group normalisation operator, with what stands around it."""
