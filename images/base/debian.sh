#!/bin/sh
# Makes the root file system of a Debian base image: debian.sh SUITE DIRECTORY
# The mirror is debootstrap's own default, or the one its environment names.
set -eu
suite=$1
root=$2

debootstrap --variant=minbase --include=python3,python3-pip,python3-venv,ca-certificates "$suite" "$root"

# In an image of its own pip may install where Python looks.
rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
[ -e "$root/usr/bin/python" ] || ln -s python3 "$root/usr/bin/python"

# What a container never reads.
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/man/* \
    "$root"/usr/share/info/* "$root"/usr/share/locale/*
find "$root/usr/share/doc" -type f ! -name copyright -delete
