"""Passes over a module: one per file, run and checked by `manager.PassManager`."""
