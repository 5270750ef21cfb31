"""What the doors for metrics share: the sets, the readings, thinning, and Prometheus' own API."""
