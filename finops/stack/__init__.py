"""Breakeven on one machine: PostgreSQL, Valkey, the web server and its helpers, started by `./run`.

Knows processes, sockets, ports and the data directory. Refuses to import Django: what the
application means is none of its business, it only starts it, watches it and stops it.
"""
