"""The GPU probe: reads NVML on a GPU host and pushes what it saw.

Knows NVML, one HTTP address and one spool directory. Refuses Django, the database and money.
"""

__version__ = "0.1.0"
