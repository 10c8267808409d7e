"""Measures bundles against the ways in which pipelines are run without them."""
