"""Structured logs: one line an event, with the request id, as JSON or for a console."""

from __future__ import annotations

import logging
import logging.config

import structlog

SHARED = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
)

TRACEBACKS = structlog.processors.ExceptionRenderer(
    # Local variables hold keys and tokens; a log is read by more people than those may be.
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(style: str, level: str) -> None:
    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    final = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    if style == "json":
        final.insert(0, TRACEBACKS)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": list(SHARED),
                    "processors": final,
                }
            },
            "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["console"], "level": level},
            "loggers": {
                # The middleware logs each request once, with its id; this would log it twice.
                "django.server": {"level": "WARNING"},
                "django.request": {"level": "ERROR"},
                # A line for each request to Triton or a source, and the whole address with it.
                "httpx": {"level": "WARNING"},
            },
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
