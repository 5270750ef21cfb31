"""What rules make of bills and hardware: what they would land, what they left, and whose it is.

Knows the raw charges and the tables of what landed. Refuses to write: `actions.allocation` does.
"""
