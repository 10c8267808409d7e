"""Opens a bundle and runs it. Needs only NumPy until a backend is chosen; `image` also needs Pillow."""
