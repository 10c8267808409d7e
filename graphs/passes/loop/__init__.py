"""Passes that a static loop makes possible, and what makes ready for them."""
