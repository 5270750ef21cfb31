"""Benches: `./run bench NAME [--data PATH] [--out FILE]`.

Each prints a readable table and, as its last line, one JSON object. Figures that matter are
ratios to a limit or a peer measured in the same run.
"""
