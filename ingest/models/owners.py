"""Who a fact belongs to: teams, projects, pools, and the tokens that may push for them."""

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower

from .fields import one_of

UNALLOCATED = "unallocated"
TOKEN_SCOPES = ("traces:write", "gpu:write")


class Team(models.Model):
    name = models.CharField(max_length=100, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ProjectManager(models.Manager):
    def unallocated(self) -> "Project":
        """The visible home of every fact that nobody has claimed."""
        return self.get(slug=UNALLOCATED)


class Project(models.Model):
    """An AI application, owned by a team, in an environment: the unit of budget and access."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=100)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT)
    environment = models.CharField(max_length=40, default="production")
    keeps_text = models.BooleanField(
        default=False, help_text="Keep prompt and answer text. Off: only salted hashes and lengths."
    )
    text_days = models.PositiveSmallIntegerField(
        default=30,
        db_default=30,
        validators=[MinValueValidator(1), MaxValueValidator(3650)],
        help_text="How many days kept text stays after it came in.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ProjectManager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def is_unallocated(self) -> bool:
        return self.slug == UNALLOCATED


class Pool(models.Model):
    """Machines or GPUs that are paid for together and shared by the models they serve."""

    name = models.CharField(max_length=100, unique=True)
    provider = models.CharField(
        max_length=100,
        blank=True,
        help_text="The provider name its spans carry, such as triton or vllm.",
    )
    gpu_count = models.PositiveIntegerField(
        null=True, blank=True, help_text="GPUs (or machines) paid for; unknown when empty."
    )
    hardware = models.CharField(
        max_length=100, blank=True, help_text="The price book's name of the hardware, as in H100."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Token(models.Model):
    """A secret by which a machine pushes facts for one source. Only its SHA-256 is kept."""

    id = models.CharField(primary_key=True, max_length=16)
    source = models.ForeignKey("ingest.Source", on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    secret_sha256 = models.BinaryField(max_length=32)
    scope = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=150, blank=True, help_text="A name, not a key.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = [Lower("name")]
        constraints = [one_of("token", "scope", TOKEN_SCOPES)]

    def __str__(self) -> str:
        return f"brk_{self.id}_…"
