"""The bias and activation operator."""
