"""Everything of finops that writes: prices, costs, forecasts. Pages and API only call it."""
