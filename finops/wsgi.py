"""The door for gunicorn."""

import os

from django.core.wsgi import get_wsgi_application
from django.urls import reverse

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finops.settings")

application = get_wsgi_application()

# Every view is loaded now, with the statistics some of them need, and not in somebody's request.
reverse("livez")
