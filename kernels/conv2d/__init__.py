"""The convolution of images."""
