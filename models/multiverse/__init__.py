"""A multiverse: the same analysis over models, templates, networks, feeds and personalities."""
