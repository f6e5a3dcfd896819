# Stands in for the image `postgres` where no registry can be reached: the same server from Debian's packages, with as
# much of that image's start as compose.yaml relies on.
FROM machine
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/postgresql/*/main
ENV PGDATA=/var/lib/postgresql/data
COPY <<'END' /start
#!/bin/sh
set -eu
PATH=$PATH:$(echo /usr/lib/postgresql/*/bin)
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    install -o postgres -m 600 "$POSTGRES_PASSWORD_FILE" /run/password
    chown postgres "$PGDATA" /var/run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username="$POSTGRES_USER" --pwfile=/run/password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    sed -i 's/^local .*/local all all trust/' "$PGDATA/pg_hba.conf"
    pg_ctl start -w -o '-c listen_addresses='
    createdb -U "$POSTGRES_USER" "$POSTGRES_DB" 2>/dev/null || true
    pg_ctl stop -w
fi
exec postgres -c 'listen_addresses=*'
END
RUN chmod +x /start && ln -sf /usr/lib/postgresql/*/bin/pg_isready /usr/local/bin/
VOLUME /var/lib/postgresql/data
STOPSIGNAL SIGINT
CMD ["/start"]
