"""A program of its own: writes a Parquet file as CSV to its standard output, within limits.

Knows DuckDB and the operating system's limits on memory and time. Refuses Django and everything of
ours: a file made to exhaust its reader takes down this process and nothing else. Its first line is
JSON with the columns and their types; then comes the CSV with its header.

Usage: python parquet_as_csv.py FILE
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from types import ModuleType

MEMORY_BYTES = 2 * 1024**3
"""Of addresses, most of which DuckDB only reserves."""
DUCKDB_MEMORY = "768MB"
CPU_SECONDS = 900
BEGIN_SECONDS = 60
END_SECONDS = 2 * 3600
"""By the clock. Starved of memory, a thread of DuckDB may wait for ever; the system ends it
then, which asks no thread. The end waits for whoever reads us."""
MAX_COLUMNS = 2_000

UNREADABLE, TOO_MUCH = 3, 4
NESTED = ("MAP", "STRUCT", "UNION")


def main(path: str) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(BEGIN_SECONDS)
    import duckdb

    try:
        return _write(duckdb, path)
    except MemoryError:
        return TOO_MUCH
    except duckdb.OutOfMemoryException:
        return TOO_MUCH
    except duckdb.Error:
        return UNREADABLE


def _write(duckdb: ModuleType, path: str) -> int:
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": "1",
            "memory_limit": DUCKDB_MEMORY,
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": "",
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    table = f"read_parquet({_quoted(path)})"
    columns = [
        (name, kind)
        for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()
    ]
    if len(columns) > MAX_COLUMNS:
        return TOO_MUCH
    print(json.dumps(columns), flush=True)
    signal.alarm(END_SECONDS)
    listed = ", ".join(_as_text(name, kind) for name, kind in columns)
    connection.execute(
        f"COPY (SELECT {listed} FROM {table}) TO '/dev/stdout' (FORMAT csv, HEADER true)"
    )
    return 0


def _as_text(name: str, kind: str) -> str:
    column = '"' + name.replace('"', '""') + '"'
    if kind.startswith(NESTED) or kind.endswith("]"):
        return f"CAST(to_json({column}) AS VARCHAR) AS {column}"
    return f"CAST({column} AS VARCHAR) AS {column}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
