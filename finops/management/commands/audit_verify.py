"""Walks the audit chain and says whether it is whole."""

from django.core.management.base import BaseCommand, CommandError

from finops import audit


class Command(BaseCommand):
    help = "Check that no audit record was changed, removed or slipped in."

    def handle(self, **options):
        check = audit.verify()
        if not check.is_whole:
            raise CommandError(f"Audit record {check.broken_at} {check.reason}.")
        self.stdout.write(f"{check.records:,} audit records, whole. Head: {check.head.hex()}")
