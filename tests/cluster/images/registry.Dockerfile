# Stands in for the image `registry`: the same program from Debian's packages.
FROM machine
RUN apt-get update && apt-get install -y --no-install-recommends docker-registry wget
COPY <<'END' /config.yml
version: 0.1
storage: {filesystem: {rootdirectory: /var/lib/registry}}
http: {addr: ":5000"}
END
VOLUME /var/lib/registry
CMD ["docker-registry", "serve", "/config.yml"]
