"""A campaign of kills on the way in: `./run chaos` runs all of it, the suite a few."""
