# Nothing but musl and a CPython that is linked with it, as Alpine has them: both made of Debian's packages.
FROM wherry/base:bookworm AS made
RUN sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list \
    && apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends musl-tools make dpkg-dev xz-utils gcc libc6-dev
WORKDIR /src
RUN apt-get source -qq --download-only python3.11 && tar -xf python3.11_*.orig.tar.* --strip-components=1
# musl's compiler finds no headers of the kernel by itself.
RUN for name in linux asm-generic; do ln -s /usr/include/$name /usr/include/x86_64-linux-musl/$name; done \
    && ln -s /usr/include/x86_64-linux-gnu/asm /usr/include/x86_64-linux-musl/asm
# setup.py would look for glibc's headers; configure takes a compiler named gcc for glibc's.
RUN sed -i 's/def add_multiarch_paths(self):/&\n        return/' setup.py \
    && sed -i 's/as_fn_error .*internal configure error for the platform triplet.*/:/' configure \
    && ./configure -q CC=musl-gcc OPT="-O1 -DNDEBUG -g0" --prefix=/usr --without-ensurepip --disable-test-modules \
    && make -s -j2 >/tmp/make.log 2>&1 && make -s install DESTDIR=/out >/dev/null 2>&1 \
    || { tail -30 /tmp/make.log; exit 1; }
RUN mkdir -p /out/lib /out/bin /out/tmp && cp /usr/lib/x86_64-linux-musl/libc.so /out/lib/ld-musl-x86_64.so.1 \
    && rm -rf /out/usr/share /out/usr/lib/*.a /out/usr/lib/python3.11/config-*
FROM scratch
COPY --from=made /out /
