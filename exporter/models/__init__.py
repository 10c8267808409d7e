"""The built-in models: their configurations and their MindSpore Cells."""
