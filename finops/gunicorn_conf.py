"""How gunicorn serves the site wherever it runs: `--config=python:finops.gunicorn_conf`.

Where it listens, and how long it may take to stop, is said on the command line.
"""

import gc

worker_class = "gthread"
workers = 2
threads = 8
# Loaded once and forked: who takes a dead one's place answers at once.
preload_app = True
timeout = 60
# A server that hangs up first resets whoever asks at that moment: gunicorn's own 2 s meet a script
# that asks every two seconds. Longer than proxies hold a connection (nginx 60 s), so they hang up.
keepalive = 75
control_socket_disable = True


def when_ready(_: object) -> None:
    """Before workers are forked: what is loaded now stays, and no page looks for garbage in it."""
    gc.collect()
    gc.freeze()
