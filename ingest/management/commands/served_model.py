"""Says how large a served model is: `manage.py served_model POOL MODEL --parameter-bytes 16e9`."""

from __future__ import annotations

import argparse
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest.models import Pool, ServedModel

MOST_BYTES = 10**15
MOST_GPUS = 1024
SIZES = ("parameter_bytes", "kv_cache_bytes", "gpus")


def whole(text: str) -> int:
    """`16e9` is a whole number too."""
    try:
        number = Decimal(text)
        count = int(number)
    except (InvalidOperation, ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no number, as in 16e9") from None
    if count != number or not 0 < count <= MOST_BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of bytes, as in 16e9")
    return count


class Command(BaseCommand):
    help = (
        "Say how many bytes a self-hosted model is, for its memory bandwidth utilisation. Without "
        "a model: list what is known of a pool."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("pool", help="The pool's name.")
        parser.add_argument("model", nargs="?", help="As the server and the traces name it.")
        parser.add_argument(
            "--parameter-bytes", type=whole, help="Parameters × bytes of each: 8B in FP16 is 16e9."
        )
        parser.add_argument(
            "--kv-cache-bytes", type=whole, help="What the server reserves for its KV cache."
        )
        parser.add_argument(
            "--gpus", type=int, default=1, help="GPUs that one copy is spread over; 1 by default."
        )
        parser.add_argument("--remove", action="store_true", help="Forget the model's size.")

    def handle(self, *args: Any, **options: Any) -> None:
        pool = Pool.objects.filter(name=options["pool"]).first()
        if pool is None:
            known = ", ".join(Pool.objects.order_by("name").values_list("name", flat=True))
            raise CommandError(f"There is no pool {options['pool']}; there are {known or 'none'}.")
        if options["model"] is None:
            self._list(pool)
        elif options["remove"]:
            self._remove(pool, options["model"])
        else:
            self._say(pool, options)

    def _list(self, pool: Pool) -> None:
        for one in pool.served_models.order_by("model"):
            kv = f"{one.kv_cache_bytes:,}" if one.kv_cache_bytes else "unknown"
            self.stdout.write(
                f"{one.model}: {one.parameter_bytes:,} bytes of parameters; {kv} bytes of KV cache;"
                f" GPUs of one copy: {one.gpus}"
            )

    def _remove(self, pool: Pool, model: str) -> None:
        if not pool.served_models.filter(model=model).delete()[0]:
            raise CommandError(f"Nothing is known of a model {model} on {pool}.")
        self.stdout.write(f"The size of {model} on {pool} is forgotten.")

    def _say(self, pool: Pool, options: dict[str, Any]) -> None:
        if options["parameter_bytes"] is None:
            raise CommandError("Give --parameter-bytes, as in 16e9 for 8 billion in FP16.")
        if not 1 <= options["gpus"] <= MOST_GPUS:
            raise CommandError(f"Give --gpus from 1 to {MOST_GPUS}.")
        said, is_new = ServedModel.objects.update_or_create(
            pool=pool,
            model=options["model"],
            defaults={name: options[name] for name in SIZES},
        )
        self.stdout.write(f"{said} is {'now' if is_new else 'changed to'} "
                          f"{said.parameter_bytes:,} bytes.")  # fmt: skip
