"""Example models; each folder runs without arguments."""
