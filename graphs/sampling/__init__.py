"""The sampling program: schedule, guidance, sampler and expert switch as one graph."""
