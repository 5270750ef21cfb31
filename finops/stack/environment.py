"""What the processes of a stack are told through their environment.

Knows the names of the settings. Refuses to hand on the launcher's own variables, because the
application stops at a BREAKEVEN_ name it does not know.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from finops.stack.home import Home
from finops.stack.postgres import Cluster
from finops.stack.valkey import Valkey

PREFIX = "BREAKEVEN_"

LAUNCHER_ONLY = frozenset({"BREAKEVEN_HOME", "BREAKEVEN_PORT", "BREAKEVEN_REQUIRE"})

SECRETS = {
    "SECRET_KEY": "secret-key",
    "ENCRYPTION_KEYS": "encryption-keys",
    "PRIVACY_KEY": "privacy-key",
    "METRICS_TOKEN": "metrics-token",
}


def of_application(
    home: Home,
    cluster: Cluster,
    valkey: Valkey,
    *,
    sample_data: bool = False,
    caller: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The caller's settings with the stack's own on top: its database is always its own."""
    ours = {
        "DATABASE_URL": cluster.url,
        "BROKER_URL": valkey.broker_url,
        "CACHE_URL": valkey.cache_url,
        "ALLOWED_HOSTS": "localhost,127.0.0.1,[::1]",
        "HTTPS": "0",  # plain HTTP, and on loopback only
        **{f"{name}_FILE": str(home.keys / file) for name, file in SECRETS.items()},
    }
    if sample_data:
        ours["SAMPLE_DATA"] = "1"
        ours["PRIVATE_ADDRESSES"] = "127.0.0.1/32"  # where the sample estate's Triton lives
    return {
        **_inherited(home, caller),
        **{f"{PREFIX}{name}": value for name, value in ours.items()},
        "DJANGO_SETTINGS_MODULE": "finops.settings",
        "PYTHONUNBUFFERED": "1",
    }


def overruled(caller: Mapping[str, str] = os.environ) -> list[str]:
    """Settings of the caller that the stack brings itself and therefore does not take."""
    ours = {"DATABASE_URL", "BROKER_URL", "CACHE_URL", "ALLOWED_HOSTS", "HTTPS", *SECRETS}
    names = {f"{PREFIX}{name}" for name in ours} | {f"{PREFIX}{name}_FILE" for name in ours}
    return sorted(names & set(caller))


def _inherited(home: Home, caller: Mapping[str, str]) -> dict[str, str]:
    not_ours_to_pass = LAUNCHER_ONLY | set(overruled(caller))
    inherited = {name: value for name, value in caller.items() if name not in not_ours_to_pass}
    for name in ("NO_PROXY", "no_proxy"):
        # What the processes say to each other must not leave this machine.
        inherited[name] = ",".join(filter(None, [inherited.get(name), "127.0.0.1,localhost"]))
    inherited["PATH"] = f"{Path(sys.executable).parent}:{inherited.get('PATH', os.defpath)}"
    if inherited.pop("PYTHONDONTWRITEBYTECODE", ""):
        # No __pycache__ beside the code, as was asked, but no compiling at every start either.
        inherited["PYTHONPYCACHEPREFIX"] = str(home.root / "pycache")
    return inherited
