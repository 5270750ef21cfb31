"""Sources from the command line: `manage.py source list | connect | change | token`."""

from __future__ import annotations

import argparse
import json
import sys
from getpass import getpass
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from finops.actions import connections
from finops.actions.connections import Changes, NewSource, Refused
from finops.files import write_private
from ingest.models import Source
from ingest.sources import REGISTRY
from ingest.sources.base import PushSource, Setting


class Command(BaseCommand):
    help = "See, connect and change the sources of facts."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        to_do = parser.add_subparsers(dest="what", required=True)
        to_do.add_parser("list", help="Every source, its kind and what went wrong last.")
        new = to_do.add_parser("connect", help="Connect a new source.")
        new.add_argument("kind", help=f"One of {', '.join(REGISTRY)}.")
        new.add_argument("name", help="As people will see it.")
        for owner in ("project", "team", "pool", "provider", "hardware"):
            new.add_argument(f"--{owner}", default="")
        new.add_argument("--gpu-count", type=int)
        new.add_argument("--token-file", type=Path, help="Where the push token goes, mode 0600.")
        old = to_do.add_parser("change", help="Change a source; what is not named stays.")
        old.add_argument("name", help="Its name.")
        old.add_argument("--rename", help="Its new name.")
        state = old.add_mutually_exclusive_group()
        state.add_argument("--on", dest="enabled", action="store_true", default=None)
        state.add_argument("--off", dest="enabled", action="store_false")
        for one in (new, old):
            one.add_argument("--every", type=int, metavar="SECONDS", help="Between two pulls.")
            one.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE")
            one.add_argument(
                "--secret",
                action="append",
                default=[],
                metavar="SETTING",
                help="Is asked for, or read from standard input, one line each.",
            )
        token = to_do.add_parser("token", help="Make a push token.")
        token.add_argument("name", help="The source's name.")
        token.add_argument("--token-file", type=Path, help="Where it goes, mode 0600.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"do_{options['what']}")(options)
        except Refused as refused:
            raise CommandError(f"{refused.field}: {refused.message}") from refused

    def do_list(self, options: dict[str, Any]) -> None:
        for source in Source.objects.all():
            self.stdout.write("\t".join((source.name, source.kind, state_of(source))))

    def do_connect(self, options: dict[str, Any]) -> None:
        names = ("kind", "name", "project", "team", "pool", "provider", "hardware", "gpu_count")
        given = {name: options[name] for name in names}
        config = self.settings(options["kind"], options)
        new = NewSource(**given, interval_s=options["every"], config=config)
        source = connections.connect(connections.checked(new), by=None, via="command")
        self.stdout.write(f"“{source.name}” is connected.")
        if isinstance(REGISTRY[source.kind], PushSource):
            self.give_token(source, options["token_file"])

    def do_change(self, options: dict[str, Any]) -> None:
        source = self.source(options["name"])
        changes = Changes(
            name=options["rename"],
            interval_s=options["every"],
            config=self.settings(source.kind, options),
        )
        changed = connections.change(source, changes, by=None, via="command")
        if options["enabled"] is not None:
            connections.switch(source, options["enabled"], by=None, via="command")
            changed.append("enabled")
        self.stdout.write(f"Changed: {', '.join(changed) or 'nothing'}.")

    def do_token(self, options: dict[str, Any]) -> None:
        source = self.source(options["name"])
        if not isinstance(REGISTRY[source.kind], PushSource):
            raise CommandError("This source does not push, so it needs no token.")
        self.give_token(source, options["token_file"])

    def give_token(self, source: Source, file: Path | None) -> None:
        name = f"{source.name} {source.tokens.count() + 1}"
        _, text = connections.issue_push_token(source, name, by=None, via="command")
        if file is None:
            self.stdout.write(f"Push token (shown once): {text}")
        else:
            write_private(file, text)
            self.stdout.write(f"Its push token is in {file}.")

    @staticmethod
    def source(name: str) -> Source:
        source = Source.objects.filter(name=name).first()
        if source is None:
            raise CommandError(f"There is no source {name}; check its name.")
        return source

    def settings(self, kind: str, options: dict[str, Any]) -> dict[str, Any]:
        if kind not in REGISTRY:
            raise Refused("kind", f"Use one of {', '.join(REGISTRY)}.")
        known = {setting.name: setting for setting in REGISTRY[kind].settings}
        found = {}
        for said in options["set"]:
            name, equals, text = said.partition("=")
            if not equals:
                raise CommandError(f"--set {said}: write it as SETTING=VALUE.")
            setting = known.get(name)
            if setting is not None and setting.secret:
                # An argument is seen by everybody on the machine.
                raise CommandError(f"{name} is a secret: use --secret {name}, which asks for it.")
            found[name] = value_of(setting, text)
        for name in options["secret"]:
            if name not in known or not known[name].secret:
                secrets = ", ".join(one.name for one in known.values() if one.secret) or "none"
                label = REGISTRY[kind].label
                raise CommandError(f"{name} is no secret of {label}; it has {secrets}.")
            found[name] = asked_for(name)
        return found


def state_of(source: Source) -> str:
    if not source.enabled:
        return "switched off"
    came, failed = source.last_success_at, source.last_error_at
    if failed is not None and (came is None or failed > came):
        return source.last_error
    return f"last delivery {came:%Y-%m-%d %H:%M} UTC" if came else "nothing yet"


def value_of(setting: Setting | None, text: str) -> Any:
    """Numbers, lists and objects as JSON where the setting holds one; else the text."""
    if setting is None or not isinstance(setting.default, int | dict | list):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise Refused(f"config.{setting.name}", f"Write it as JSON: {error}.") from error


def asked_for(name: str) -> str:
    if sys.stdin.isatty():
        return getpass(f"{name}: ")
    return sys.stdin.readline().rstrip("\r\n")
