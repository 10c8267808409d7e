"""What a fused operator is made of: one folder per operator, with its definition and its CPU kernel."""
