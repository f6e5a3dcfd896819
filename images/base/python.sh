#!/bin/sh
# Makes of a Debian's Python one that runs beside any other image's files: python.sh DIRECTORY
# It brings its own C library and loader, so it needs nothing of the image, be that musl's, distroless or empty.
set -eu
root=$1
version=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')

mkdir -p "$root/bin" "$root/lib" "$root/local/lib/python$version/dist-packages"
cp "/usr/bin/python$version" "$root/bin/"
ln -s "python$version" "$root/bin/python3"
ln -s "python$version" "$root/bin/python"
cp -R "/usr/lib/python$version" "$root/lib/"
cp -R /usr/lib/python3 "$root/lib/"
rm -rf "$root/lib/python$version/test" "$root/lib/python$version/idlelib" "$root/lib/python$version/EXTERNALLY-MANAGED"
find "$root" -name __pycache__ -type d -exec rm -rf {} +

# The loader, and every library that Python or one of its own modules wants.
loader=$(readelf -l "/usr/bin/python$version" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
cp -L "$loader" "$root/lib/ld.so"
{ echo "/usr/bin/python$version"; find "/usr/lib/python$version/lib-dynload" -name '*.so'; } |
    xargs ldd 2>/dev/null | sed -n 's/.*=> \(\/[^ ]*\) .*/\1/p' | sort -u |
    while read -r library; do cp -L "$library" "$root/lib/"; done
# What is only loaded when a name is looked up.
for library in /lib/*-linux-gnu*/libnss_dns.so.2 /lib/*-linux-gnu*/libnss_files.so.2 /lib/*-linux-gnu*/libresolv.so.2 \
    /usr/lib/*-linux-gnu*/libstdc++.so.6 /lib/*-linux-gnu*/libgcc_s.so.1; do
    [ ! -e "$library" ] || cp -L "$library" "$root/lib/"
done

# RPATH, not RUNPATH: what extension modules load is looked for here too.
patchelf --set-interpreter "$root/lib/ld.so" --force-rpath --set-rpath "$root/lib" "$root/bin/python$version"
cat >"$root/bin/pip" <<END
#!$root/bin/python3
import sys
from pip._internal.cli.main import main
sys.exit(main())
END
chmod 755 "$root/bin/pip"
ln -s pip "$root/bin/pip3"
mkdir -p "$root/etc"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ca-certificates.crt"
# An image without certificates of its own gets these.
cat >"$root/lib/python3/dist-packages/wherry_certificates.pth" <<END
import os; os.path.exists("/etc/ssl/certs/ca-certificates.crt") or os.environ.setdefault("SSL_CERT_FILE", "$root/etc/ca-certificates.crt")
END
"$root/bin/python3" -c 'import ssl, sqlite3, ctypes, zlib, lzma, bz2, hashlib, pip'
