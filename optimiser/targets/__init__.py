"""What changes are applied to, one file per kind, and what is known of their configs.

Knows outside servers; refuses the database, approvals and verdicts.
"""
