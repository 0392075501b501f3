"""The paper's experiment: armed-conflict news among LLM agents with 32 personalities."""
