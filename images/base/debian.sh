#!/bin/sh
# Makes the root file system of a Debian base image: debian.sh SUITE DIRECTORY PACKAGES
# PACKAGES is a directory that keeps what was fetched: another try fetches only what is missing.
# The mirror is debootstrap's own default, or the one its environment names. KEYRING may name a file with Debian's keys.
set -eu
suite=$1
root=$2
packages=$3

debootstrap ${KEYRING:+--keyring="$KEYRING"} --variant=minbase --cache-dir="$packages" \
    --include=python3,python3-pip,python3-venv,ca-certificates "$suite" "$root"

# In an image of its own pip may install where Python looks.
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
[ -e "$root/usr/bin/python" ] || ln -s python3 "$root/usr/bin/python"

# What a container never reads.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/man/* \
    "$root"/usr/share/info/* "$root"/usr/share/locale/*
find "$root/usr/share/doc" -type f ! -name copyright -delete
