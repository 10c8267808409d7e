"""Checkpoints of every layout and format that users have, mapped without being loaded."""
