"""Views of a page that people keep: its address under a name."""

from django.conf import settings
from django.db import models
from django.db.models import Q

from ingest.models.fields import one_of

VIEW_PAGES = ("costs", "requests")
LONGEST_NAME, LONGEST_QUERY = 100, 2000


class SavedView(models.Model):
    """What a page was asked for. It holds no figures: each reader's own are computed anew."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    page = models.CharField(max_length=20)
    name = models.CharField(max_length=LONGEST_NAME)
    query = models.CharField(max_length=LONGEST_QUERY, help_text="As in the page's address.")
    is_shared = models.BooleanField(default=False)
    is_default = models.BooleanField(
        default=False, help_text="What the page opens with for its owner."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            one_of("savedview", "page", VIEW_PAGES),
            models.UniqueConstraint(fields=["owner", "page", "name"], name="savedview_name_once"),
            models.UniqueConstraint(
                fields=["owner", "page"],
                condition=Q(is_default=True),
                name="savedview_one_default",
            ),
        ]

    def __str__(self) -> str:
        return str(self.name)
