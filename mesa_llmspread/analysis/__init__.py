"""What a record shows: rates and curves, cascades, costs, and the laws behind them."""
