"""The model on Mesa's own page, SolaraViz."""
