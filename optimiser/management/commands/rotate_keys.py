"""Puts every stored secret under the newest of BREAKEVEN_ENCRYPTION_KEYS."""

from django.core.management.base import BaseCommand
from django.db import transaction

from finops import audit
from finops.models import Channel
from ingest import encryption, source_secrets
from ingest.models import Source
from optimiser.models import Server


class Command(BaseCommand):
    help = "Encrypt the stored secrets with the newest key, so that older ones can be taken away."

    def handle(self, **options):
        with transaction.atomic():
            servers = list(Server.objects.select_for_update().exclude(admin_key=None))
            for server in servers:
                server.admin_key = encryption.rotate(server.admin_key)
                server.save(update_fields=["admin_key"])
                audit.record(None, "command", "server.rotate_key", server, {"name": server.name})
            sources = list(Source.objects.select_for_update().exclude(secrets=None))
            for source in sources:
                source_secrets.rotate(source)
                audit.record(None, "command", "source.rotate_key", source, {"name": source.name})
            channels = list(Channel.objects.select_for_update().exclude(secret=None))
            for channel in channels:
                channel.secret = encryption.rotate(channel.secret)
                channel.save(update_fields=["secret"])
                audit.record(None, "command", "channel.rotate_key", channel, {"name": channel.name})
        count = len(servers) + len(sources) + len(channels)
        self.stdout.write(f"Secrets now under the newest key: {count}.")
