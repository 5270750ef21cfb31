"""Django's settings. The only module that reads the environment."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from csp.constants import NONE, SELF

from finops import environment
from finops.logs import configure_logging

BASE_DIR = Path(__file__).resolve().parent.parent

try:
    ENV = environment.read(os.environ)
except environment.BadEnvironment as problem:
    raise SystemExit(f"Breakeven cannot start: {problem}") from None
if ENV["FAILPOINT"] and not ENV["DEBUG"]:
    raise SystemExit(
        "Breakeven cannot start: BREAKEVEN_FAILPOINT kills processes on purpose; take it away, or"
        " set BREAKEVEN_DEBUG=1 on a machine for tests."
    )


def database(url: str) -> dict:
    """A libpq URL as Django wants it; `?host=/dir` names a Unix socket, the rest are options."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.pop("host", parts.hostname or ""),
        "PORT": parts.port or "",
        "OPTIONS": {
            "pool": {"min_size": 1, "max_size": ENV["DATABASE_POOL"], "timeout": 10},
            # A page that needs longer is a bug; imports and migrations set their own limit.
            "options": "-c statement_timeout=60000 -c idle_in_transaction_session_timeout=300000",
            **query,
        },
        # After the database restarted, the pool would hand out each dead connection once.
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": False,
    }


SECRET_KEY = ENV["SECRET_KEY"]
DEBUG = ENV["DEBUG"]
ALLOWED_HOSTS = ENV["ALLOWED_HOSTS"]
CSRF_TRUSTED_ORIGINS = ENV["TRUSTED_ORIGINS"]
DATABASES = {"default": database(ENV["DATABASE_URL"])}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": ENV["CACHE_URL"],
        "KEY_PREFIX": "breakeven",
    }
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_htmx",
    "django_structlog",
    "drf_spectacular",
    "rest_framework",
    "ingest",
    "finops",
    "optimiser",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]

ROOT_URLCONF = "finops.urls"
WSGI_APPLICATION = "finops.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "finops.context.installation",
            ],
        },
    }
]

# People
AUTH_USER_MODEL = "finops.User"
AUTHENTICATION_BACKENDS = ["finops.access.MembershipBackend"]
LOGIN_URL = "finops:sign-in"
LOGIN_REDIRECT_URL = "finops:overview"
LOGOUT_REDIRECT_URL = "finops:sign-in"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Time and words
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
USE_I18N = False

# Breakeven's own
ACCOUNTING_TIME_ZONE = ENV["TIME_ZONE"]
REPORTING_CURRENCY = ENV["CURRENCY"]
ENCRYPTION_KEYS = ENV["ENCRYPTION_KEYS"]
PRIVACY_KEY = ENV["PRIVACY_KEY"]
METRICS_TOKEN = ENV["METRICS_TOKEN"]
FAILPOINT = ENV["FAILPOINT"]
SAMPLE_DATA = ENV["SAMPLE_DATA"]
PRIVATE_ADDRESSES = ENV["PRIVATE_ADDRESSES"]
PUBLIC_URL = ENV["PUBLIC_URL"]
SLACK_API_URL = ENV["SLACK_API_URL"]
RETENTION_DAYS = {"span": ENV["SPAN_DAYS"], "sample": ENV["SAMPLE_DAYS"]}

# Mail, for channels of that kind
EMAIL_HOST = ENV["SMTP_HOST"]
EMAIL_PORT = ENV["SMTP_PORT"]
EMAIL_HOST_USER = ENV["SMTP_USER"]
EMAIL_HOST_PASSWORD = ENV["SMTP_PASSWORD"]
EMAIL_USE_TLS = ENV["SMTP_SECURITY"] == "starttls"
EMAIL_USE_SSL = ENV["SMTP_SECURITY"] == "tls"
DEFAULT_FROM_EMAIL = ENV["SMTP_FROM"]

# Static files
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# Pages name files by their hash; compressing the plain ones too doubles the wait of a first start.
WHITENOISE_KEEP_ONLY_HASHED_FILES = True

# Uploads: a decompressed OTLP batch or a bill, whichever the view allows itself.
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# Security
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
if SAMPLE_DATA:
    # Cookies know no ports: a demo beside a live installation would sign its people out.
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "demo-session", "demo-csrf"
if ENV["HTTPS"]:
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-session", "__Host-csrf"
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = True
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^metrics$"]  # probes speak plain HTTP
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 3600
    SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = True

# Celery: Postgres rows are the truth, a task only says "look now"
CELERY_BROKER_URL = ENV["BROKER_URL"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_TIME_LIMIT = 15 * 60
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_TRANSPORT_OPTIONS = (
    {"visibility_timeout": 20 * 60, "global_keyprefix": "breakeven:"}
    if ENV["BROKER_URL"].startswith("redis")
    else {"confirm_publish": True}
)

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "finops.api_auth.AccessTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["finops.api_auth.ScopedAndPermitted"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "finops.problems.handler",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Breakeven API",
    "DESCRIPTION": "Closed-loop FinOps for AI inference. Money is a decimal string and a currency.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "DEFAULT_GENERATOR_CLASS": "finops.api.description.Remembered",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "AlertActEnum": "finops.models.alerts.ALERT_ACTS",
        "AlertKindEnum": "finops.models.alerts.ALERT_KINDS",
        "AllocationOriginEnum": "finops.costing.allocating.ORIGINS",
        "AllocationPartEnum": "finops.models.allocation.PARTS",
        "AllocationSplitEnum": "finops.costing.allocating.SPLITS",
        "AlertStateEnum": "finops.models.alerts.ALERT_STATES",
        "BudgetPeriodStateEnum": "finops.costing.budget_states.STATES",
        "BudgetStateEnum": "finops.queries.budgets.STATES_SHOWN",
        "ChargebackKindEnum": "finops.models.allocation.STATEMENTS",
        "ChannelKindEnum": "finops.models.channels.CHANNEL_KINDS",
        "ChannelStateEnum": "finops.models.channels.CHANNEL_STATES",
        "EntryKindEnum": "finops.models.ledger.KINDS",
        "EventKindEnum": "ingest.events.KINDS",
        "LimitStateEnum": "finops.api.budget_shapes.SIGNALS_GIVEN",
        "MessageStateEnum": "finops.models.channels.MESSAGE_STATES",
        "PriceUnitEnum": "finops.models.prices.PRICE_UNITS",
        "RepricedKindEnum": "finops.queries.repricing.REPRICED_KINDS",
        "SloActEnum": "finops.costing.objectives.ACTS",
        "SloProposalStateEnum": "finops.models.slos.PROPOSAL_STATES",
        "SloStateEnum": "finops.queries.slos.STATES_SHOWN",
        "OriginEnum": "ingest.events.ORIGINS",
        "ReconciliationStateEnum": "finops.queries.reconciliation.STATES",
        "ChangeStateEnum": "optimiser.models.CHANGE_STATES",
        "RecommendationStateEnum": "optimiser.models.RECOMMENDATION_STATES",
        "RolloutStateEnum": "optimiser.models.ROLLOUT_STATES",
        "LiveStateEnum": "optimiser.models.LIVE_STATES",
        "TargetKindEnum": "optimiser.models.TARGET_KINDS",
        "UnitEnum": "finops.queries.unit_costs.UNITS",
        "WatchMetricEnum": "finops.models.watch_rules.WATCH_METRICS",
        "FindingOutcomeEnum": "optimiser.models.FINDING_OUTCOMES",
        "VerdictOutcomeEnum": "optimiser.models.VERDICT_OUTCOMES",
        "DecisionEnum": "optimiser.models.APPROVAL_DECISIONS",
    },
}

LOGGING_CONFIG = None
DJANGO_STRUCTLOG_CELERY_ENABLED = False
configure_logging(ENV["LOG_FORMAT"], ENV["LOG_LEVEL"])
