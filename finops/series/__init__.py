"""Draws conclusions from daily series: what is expected, how sure that is, what was unexpected.

Plain values in, plain values out. Knows statistics; refuses the database, the clock, and money as
such: what is stored elsewhere as exact decimals is an estimate here.
"""
