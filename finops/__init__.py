"""Prices, costs, forecasts and the front door of the project.

Knows money and people. Refuses to give advice: that is `optimiser`'s.
"""

VERSION = "0.1.0"
