"""Facts: sources, cursors, spans, samples, bill lines, quarantine and the rollups of facts.

Knows what happened. Refuses to know what it cost: prices live in `finops`.
"""
