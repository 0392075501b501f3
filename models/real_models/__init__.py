"""What real language models do in the paper's experiment, from measured tables."""
