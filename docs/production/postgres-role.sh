#!/bin/bash
# Run once by the postgres image, on an empty data volume: the application's role and database.
# The application is no superuser; it owns its database and nothing else.
set -euo pipefail

url=$(cat /run/secrets/database_url)
password=${url#postgresql://breakeven:}
password=${password%%@*}

psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$password" \
    --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE breakeven LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'password';
CREATE DATABASE breakeven OWNER breakeven;
REVOKE ALL ON DATABASE breakeven FROM PUBLIC;
\connect breakeven
CREATE EXTENSION pg_stat_statements;
SQL
