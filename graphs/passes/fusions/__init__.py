"""Passes that find fused operators: each is a pattern of plain operators, a check that says why not, and a rewrite."""
