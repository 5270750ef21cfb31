"""People, what they did, and views of a page that they keep."""

from django.conf import settings
from django.contrib.auth.models import UserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import migrations, models
from django.db.models.functions import Lower
from django.utils import timezone

from ingest.migrations.first_tables.parts import is_known, own_id

TABLES = [
    migrations.CreateModel(
        name="User",
        fields=[
            ("id", own_id()),
            ("password", models.CharField(max_length=128, verbose_name="password")),
            ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
            (
                "is_superuser",
                models.BooleanField(
                    default=False,
                    help_text="Designates that this user has all permissions without explicitly"
                    " assigning them.",
                    verbose_name="superuser status",
                ),
            ),
            (
                "username",
                models.CharField(
                    error_messages={"unique": "A user with that username already exists."},
                    help_text="Required. 150 characters or fewer. Letters, digits and @/./+/-/_"
                    " only.",
                    max_length=150,
                    unique=True,
                    validators=[UnicodeUsernameValidator()],
                    verbose_name="username",
                ),
            ),
            ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
            ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
            (
                "is_staff",
                models.BooleanField(
                    default=False,
                    help_text="Designates whether the user can log into this admin site.",
                    verbose_name="staff status",
                ),
            ),
            (
                "is_active",
                models.BooleanField(
                    default=True,
                    help_text="Designates whether this user should be treated as active. Unselect"
                    " this instead of deleting accounts.",
                    verbose_name="active",
                ),
            ),
            ("date_joined", models.DateTimeField(default=timezone.now, verbose_name="date joined")),
            ("email", models.EmailField(blank=True, max_length=254)),
            (
                "time_zone",
                models.CharField(
                    blank=True,
                    help_text="Empty: the installation's accounting time zone.",
                    max_length=64,
                ),
            ),
            (
                "groups",
                models.ManyToManyField(
                    blank=True,
                    help_text="The groups this user belongs to. A user will get all permissions"
                    " granted to each of their groups.",
                    related_name="user_set",
                    related_query_name="user",
                    to="auth.group",
                    verbose_name="groups",
                ),
            ),
            (
                "user_permissions",
                models.ManyToManyField(
                    blank=True,
                    help_text="Specific permissions for this user.",
                    related_name="user_set",
                    related_query_name="user",
                    to="auth.permission",
                    verbose_name="user permissions",
                ),
            ),
        ],
        options={
            "verbose_name": "user",
            "verbose_name_plural": "users",
            "abstract": False,
            "constraints": [
                models.UniqueConstraint(
                    Lower("email"),
                    condition=models.Q(("email", ""), _negated=True),
                    name="user_email_once",
                ),
            ],
        },
        managers=[
            ("objects", UserManager()),
        ],
    ),
    migrations.CreateModel(
        name="Membership",
        fields=[
            ("id", own_id()),
            (
                "project",
                models.ForeignKey(
                    blank=True, null=True, on_delete=models.CASCADE, to="ingest.project"
                ),
            ),
            ("role", models.ForeignKey(on_delete=models.PROTECT, to="auth.group")),
            (
                "team",
                models.ForeignKey(
                    blank=True, null=True, on_delete=models.CASCADE, to="ingest.team"
                ),
            ),
            (
                "user",
                models.ForeignKey(
                    on_delete=models.CASCADE,
                    related_name="memberships",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "constraints": [
                models.CheckConstraint(
                    condition=models.Q(
                        ("team__isnull", True), ("project__isnull", True), _connector="OR"
                    ),
                    name="membership_one_scope",
                ),
                models.UniqueConstraint(
                    fields=("user", "role", "team", "project"),
                    name="membership_once",
                    nulls_distinct=False,
                ),
            ],
        },
    ),
    migrations.CreateModel(
        name="AccessToken",
        fields=[
            ("id", models.CharField(max_length=16, primary_key=True, serialize=False)),
            ("name", models.CharField(max_length=100)),
            ("secret_sha256", models.BinaryField(max_length=32)),
            (
                "scope",
                models.CharField(
                    choices=[("read", "read"), ("write", "write"), ("admin", "admin")],
                    max_length=10,
                ),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            ("expires_at", models.DateTimeField(blank=True, null=True)),
            ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ("last_used_at", models.DateTimeField(blank=True, null=True)),
            (
                "user",
                models.ForeignKey(
                    on_delete=models.CASCADE,
                    related_name="access_tokens",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["-created_at"],
        },
    ),
    migrations.CreateModel(
        name="Audit",
        fields=[
            ("id", own_id()),
            ("at", models.DateTimeField()),
            (
                "actor_name",
                models.CharField(help_text="As it was then; `system` for none.", max_length=150),
            ),
            (
                "via",
                models.CharField(
                    help_text="page, api, admin, command, slack or system.", max_length=20
                ),
            ),
            ("action", models.CharField(max_length=80)),
            ("object_type", models.CharField(max_length=60)),
            ("object_id", models.CharField(max_length=100)),
            ("detail", models.JSONField(default=dict)),
            ("request_id", models.CharField(blank=True, max_length=64)),
            ("previous_hash", models.BinaryField(max_length=32)),
            ("hash", models.BinaryField(max_length=32, unique=True)),
            (
                "actor",
                models.ForeignKey(
                    null=True,
                    on_delete=models.PROTECT,
                    related_name="+",
                    to=settings.AUTH_USER_MODEL,
                ),
            ),
        ],
        options={
            "ordering": ["-id"],
        },
    ),
    migrations.CreateModel(
        name="SavedView",
        fields=[
            ("id", own_id()),
            ("page", models.CharField(max_length=20)),
            ("name", models.CharField(max_length=100)),
            ("query", models.CharField(help_text="As in the page's address.", max_length=2000)),
            ("is_shared", models.BooleanField(default=False)),
            (
                "is_default",
                models.BooleanField(
                    default=False, help_text="What the page opens with for its owner."
                ),
            ),
            ("created_at", models.DateTimeField(auto_now_add=True)),
            (
                "owner",
                models.ForeignKey(
                    on_delete=models.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
                ),
            ),
        ],
        options={
            "ordering": ["name", "pk"],
            "constraints": [
                is_known("page", ["costs", "requests"], name="savedview_page_known"),
                models.UniqueConstraint(
                    fields=("owner", "page", "name"), name="savedview_name_once"
                ),
                models.UniqueConstraint(
                    condition=models.Q(("is_default", True)),
                    fields=("owner", "page"),
                    name="savedview_one_default",
                ),
            ],
        },
    ),
]
