"""The weighted sum operator."""
