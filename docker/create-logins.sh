#!/bin/sh
# Runs once, in a new Postgres of docker-compose.yml: creates the two logins of perezvon, of which neither is a superuser.
# The superuser keeps no password; `docker compose exec db psql -U postgres` still works.
set -eu
psql -v ON_ERROR_STOP=1 -U postgres -d postgres -v owner="$PEREZVON_DB_PASSWORD" -v service="$PEREZVON_APP_PASSWORD" <<'SQL'
CREATE ROLE perezvon LOGIN PASSWORD :'owner';
CREATE ROLE perezvon_app LOGIN PASSWORD :'service';
CREATE DATABASE perezvon OWNER perezvon;
ALTER ROLE postgres PASSWORD NULL;
SQL
