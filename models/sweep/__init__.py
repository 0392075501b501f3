"""A small sweep: how two rates depend on degree, event and the mix of personalities."""
