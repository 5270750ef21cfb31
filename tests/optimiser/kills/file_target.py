"""A target whose live config is a file: it outlives whoever is killed, and loads at once."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from django.utils import timezone

from optimiser.targets import base, model_config
from optimiser.targets.base import Config, Statistics


@dataclass(frozen=True)
class FileTarget(base.Target):
    folder: Path
    model: str

    @property
    def file(self) -> Path:
        return self.folder / f"{self.model}.json"

    def read(self) -> Config:
        return json.loads(self.file.read_text())

    def apply(self, config: Config) -> Config:
        return self.restore(config)

    def restore(self, config: Config) -> Config:
        fresh = self.file.with_suffix(f".{os.getpid()}")
        fresh.write_text(json.dumps(config))
        fresh.replace(self.file)  # whole or not at all, as a load is
        return self.read()

    def is_ready(self) -> bool:
        return True

    def statistics(self) -> Statistics:
        return Statistics(self.model, timezone.now(), 0, 0, 0, 0.0, {})

    def problems(self, config: Config, live: Config | None = None) -> list[str]:
        return model_config.problems(self.model, config, live)

    def canonical(self, config: Config) -> Config:
        return model_config.canonical(config)
