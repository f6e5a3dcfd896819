#!/bin/sh
# Makes the root file system of a Debian base image in a container that has this machine's own programs, and prints it
# as a tar: contained.sh SUITE RECIPE TRIES
# RECIPE is the text of debian.sh. Tools that this machine lacks are below /tools.
set -eu
suite=$1
recipe=$2
tries=$3

if [ -d /tools/usr ]; then
    PATH=/tools/usr/sbin:$PATH
    DEBOOTSTRAP_DIR=/tools/usr/share/debootstrap
    KEYRING=/tools/usr/share/keyrings/debian-archive-keyring.gpg
    export PATH DEBOOTSTRAP_DIR KEYRING
fi
command -v debootstrap >/dev/null || {
    echo "this machine has no debootstrap, or its engine does not see this machine's files" >&2
    exit 1
}
mkdir -p /making/packages
try=1
until sh -c "$recipe" debian.sh "$suite" /making/root /making/packages >&2; do
    [ "$try" -lt "$tries" ] || exit 1
    try=$((try + 1))
    echo "I: debootstrap failed; trying again" >&2
    rm -rf /making/root
done
exec tar -C /making/root --numeric-owner -c .
