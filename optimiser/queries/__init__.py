"""What pages and the API read of targets, recommendations and changes: one function for both.

Knows what a person may see. Refuses writing, requests and formatting.
"""
