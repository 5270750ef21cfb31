"""Makes an installation usable: roles, price book, first people. Safe to repeat at every start."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from django.core.management.base import BaseCommand
from django.db import transaction

from finops import access, audit
from finops.actions import demo, people, price_book
from finops.files import write_private
from finops.models import PriceBook, User


class Command(BaseCommand):
    help = "Create roles, the price book and the first sign-in; --demo adds the sample estate."

    def add_arguments(self, parser):
        parser.add_argument("--demo", action="store_true", help="Add the sample estate's people.")
        parser.add_argument("--signins", type=Path, help="Write first passwords here, mode 0600.")
        parser.add_argument("--push-tokens", type=Path, help="Folder for the estate's tokens.")

    def handle(self, *, demo: bool, signins: Path | None, push_tokens: Path | None, **options):
        access.ensure_roles()
        self.seed_prices()
        if demo:
            self.add_demo(signins, push_tokens)
        elif not User.objects.exists():
            self.add_first_admin(signins)

    def seed_prices(self) -> None:
        """Only the first book comes by itself; a newer list is looked at before it is taken."""
        newest = PriceBook.objects.first()
        if newest is not None:
            self.stdout.write(f"Price book {newest}; manage.py prices_diff shows what is newer.")
            return
        with transaction.atomic():
            seeded = price_book.seed_price_book()
            if seeded.created:
                detail = {"prices": seeded.prices, "left_out": dict(seeded.left_out)}
                audit.record(None, "command", "price_book.seed", seeded.book, detail)
        self.stdout.write(f"Price book {seeded.book}: {seeded.prices:,} prices.")

    def add_first_admin(self, signins: Path | None) -> None:
        password = secrets.token_urlsafe(12)
        with transaction.atomic():
            user = people.add_user("admin", password, via="command")
            # Django's own admin pages ask for it; permissions still come from the membership.
            User.objects.filter(pk=user.pk).update(is_staff=True)
            people.give_role(user, "admin", via="command")
        if signins:
            write_private(signins, [_sign_in("admin", "admin", password)])
        else:
            # Only where nobody asked for the file: whatever is printed may end up in a log.
            self.stdout.write(f"First sign-in: admin / {password} (shown once; change it soon).")

    def add_demo(self, signins: Path | None, push_tokens: Path | None) -> None:
        known = _known_passwords(signins)
        estate = demo.add_estate()
        entries = []
        for person in demo.PEOPLE:
            password = known.get(person.username) or secrets.token_urlsafe(9)
            demo.add_person(person, password)
            entries.append(_sign_in(person.role, person.username, password))
        demo.add_budgets()
        demo.add_allocation()
        demo.add_labels()
        demo.add_objectives()
        if signins:
            write_private(signins, entries)
        if push_tokens:
            push_tokens.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name, source in estate.items():
                file = push_tokens / name
                if not file.exists():
                    write_private(file, demo.issue_push_token(source))


def _sign_in(role: str, username: str, password: str) -> dict[str, str]:
    return {"role": role, "username": username, "password": password}


def _known_passwords(signins: Path | None) -> dict[str, str]:
    if signins is None or not signins.exists():
        return {}
    return {entry["username"]: entry["password"] for entry in json.loads(signins.read_text())}
