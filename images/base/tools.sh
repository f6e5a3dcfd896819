#!/bin/sh
# Fetches debootstrap and Debian's keys for a user who may not install them: tools.sh DIRECTORY
# They come from this system's own packages, checked as apt checks them, and are unpacked into DIRECTORY/tools.
set -eu
cd "$1"
packages="debootstrap debian-archive-keyring"
# shellcheck disable=SC2086
if ! apt-get -qq download $packages 2>/dev/null; then
    # The system's lists are empty, or old: these are ours.
    mkdir -p lists/partial cache/archives/partial
    own="-o Dir::State::Lists=$1/lists -o Dir::Cache=$1/cache -o Debug::NoLocking=1"
    apt-get -qq $own update
    apt-get -qq $own download $packages
fi
mkdir tools
for package in *.deb; do dpkg-deb -x "$package" tools; done
