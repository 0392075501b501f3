"""How news of offline events spreads among LLM agents, and which law describes it."""
