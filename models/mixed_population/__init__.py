"""People who follow a law, and automated accounts among them."""
