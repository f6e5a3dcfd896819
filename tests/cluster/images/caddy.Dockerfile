# Stands in for the image `caddy`: the same program from Debian's packages.
FROM machine
RUN apt-get update && apt-get install -y --no-install-recommends caddy wget
ENV XDG_DATA_HOME=/data XDG_CONFIG_HOME=/config
VOLUME /data /config
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
