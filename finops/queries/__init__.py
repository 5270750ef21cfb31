"""Everything that pages, API and CSV read: one function a figure, so that no two doors disagree.

Knows SQL over rollups, costs and bills. Refuses writing, requests and formatting. Every result says
as of when it is known, whether it is provisional, and which sources it rests on.
"""
