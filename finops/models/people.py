"""Users, what they may do where, and the tokens that act for them.

A role is a Django group; a membership gives it on the organisation, a team or a project. Whoever
asks `user.has_perm(permission, project)` is answered by `finops.access.MembershipBackend`.
"""

from django.contrib import auth
from django.contrib.auth.models import AbstractUser, Group
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower

ACCESS_SCOPES = ("read", "write", "admin")


class User(AbstractUser):
    email = models.EmailField(blank=True)
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="Empty: the installation's accounting time zone."
    )

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(Lower("email"), condition=~Q(email=""), name="user_email_once")
        ]

    def has_perm(self, perm, obj=None):
        """Roles decide alone: being superuser must not answer for an approval."""
        return self.is_active and any(
            backend.has_perm(self, perm, obj) for backend in auth.get_backends()
        )


class Membership(models.Model):
    """One role for one person, over everything, one team or one project."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.ForeignKey(Group, on_delete=models.PROTECT)
    team = models.ForeignKey("ingest.Team", null=True, blank=True, on_delete=models.CASCADE)
    project = models.ForeignKey("ingest.Project", null=True, blank=True, on_delete=models.CASCADE)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(team__isnull=True) | Q(project__isnull=True),
                name="membership_one_scope",
            ),
            models.UniqueConstraint(
                fields=["user", "role", "team", "project"],
                nulls_distinct=False,
                name="membership_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.project or self.team or 'the organisation'}"


class AccessToken(models.Model):
    """Lets a script act as its user through the API. Only the SHA-256 of its secret is kept."""

    id = models.CharField(primary_key=True, max_length=16)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="access_tokens")
    name = models.CharField(max_length=100)
    secret_sha256 = models.BinaryField(max_length=32)
    scope = models.CharField(max_length=10, choices=[(s, s) for s in ACCESS_SCOPES])
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"brk_{self.id}_…"
