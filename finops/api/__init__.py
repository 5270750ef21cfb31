"""The REST API under /api/v1: the same queries as the pages, as JSON.

Knows HTTP, parameters and shapes. Refuses figures of its own: each view calls one function.
"""
