"""Turns usage into money. Knows prices; never touches the database, the network or the clock.

- `rates`: which price of a book holds for a request
- `lines`: usage × rates → cost, exactly
- `pools`: GPU-hours × hourly price → what was paid, used and idle
- `snapshot`: what genai-prices knows, as rates; the only place that imports it
"""
