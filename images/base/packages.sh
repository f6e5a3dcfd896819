#!/bin/sh
# Makes of a Debian image from a registry what debian.sh makes from packages: packages.sh VERSION
# An image that brings Python of that version, with pip and venv, is taken as it is.
set -eu

has_python() {
    [ "$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ] &&
        python3 -m pip --version >/dev/null 2>&1 && python3 -c 'import ensurepip, ssl, venv' 2>/dev/null
}

if ! has_python "$1"; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends python3 python3-pip python3-venv ca-certificates
fi

# In an image of its own pip may install where Python looks.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
[ -e /usr/bin/python3 ] || ln -s "$(command -v python3)" /usr/bin/python3
[ -e /usr/bin/python ] || ln -s python3 /usr/bin/python

# What a container never reads.
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/log/* /usr/share/man/* /usr/share/info/* /usr/share/locale/*
[ ! -d /usr/share/doc ] || find /usr/share/doc -type f ! -name copyright -delete
