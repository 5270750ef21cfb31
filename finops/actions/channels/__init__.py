"""Channels and their outbox: everything that writes them.

`Notice` and `enqueue` are what whoever has something to tell needs; the rest is for pages, the API
and the workers.
"""

from .notices import Notice, enqueue

__all__ = ["Notice", "enqueue"]
