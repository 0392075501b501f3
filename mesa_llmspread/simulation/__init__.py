"""The compiled engine: many runs of a law, with up to millions of agents."""
