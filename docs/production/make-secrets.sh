#!/bin/sh
# Makes every secret that docker-compose.yml mounts, once: `sh docs/production/make-secrets.sh`.
#
# The folder is closed to everybody but you. The files inside can be read by all, because each
# container reads its own ones under an account that your machine does not know.
set -eu
umask 022
folder=${1:-secrets}

if [ -e "$folder" ]; then
    echo "$folder is there already: its keys fit the data, so it is left alone." >&2
    exit 1
fi

hex() { head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
fernet() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }

fresh=$(mktemp -d "$folder.XXXXXX")
put() { printf '%s\n' "$2" >"$fresh/$1"; }

database=$(hex)
broker=$(hex)
cache=$(hex)

put postgres_password "$(hex)"
put database_url "postgresql://breakeven:$database@postgres:5432/breakeven"
put broker_url "amqp://breakeven:$broker@rabbitmq:5672//"
put rabbitmq_user "default_user = breakeven
default_pass = $broker"
put cache_url "redis://:$cache@valkey:6379/0"
put valkey_password "requirepass $cache"
put secret_key "$(hex)"
put encryption_keys "$(fernet)"
put privacy_key "$(hex)"
put metrics_token "$(hex)"
put smtp_password "$(hex)" # yours goes in its place, where BREAKEVEN_SMTP_USER signs in with one
put triton_admin_key "$(hex)"

mv "$fresh" "$folder" # whole or absent; mktemp has made it for its owner alone
echo "Made $folder. Keep a copy of encryption_keys and privacy_key apart from the database's backup."
