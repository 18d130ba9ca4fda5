#!/bin/sh
# Builds libcurl from Debian's source package: build-curl.sh PREFIX plain|lto SSL_INCLUDE LIBSSL LIBCRYPTO
#
# The source comes through a source list of its own, derived from the system's binary one, which is
# not edited. Debian's patches (security fixes among them) are applied by dpkg-source.
set -eu
prefix=$1 variant=$2 include=$3 libssl=$4 libcrypto=$5

work=$(dirname "$prefix")/curl-source
mkdir -p "$work/lists/partial"
cd "$work"

if ! ls -d curl-*/CMakeLists.txt >/dev/null 2>&1; then
    : > sources.list
    rm -f ./*.sources
    mkdir -p parts
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$f" ] && sed -n 's/^deb /deb-src /p' "$f" >> sources.list
    done
    for f in /etc/apt/sources.list.d/*.sources; do
        [ -f "$f" ] && sed -E 's/^Types:.*$/Types: deb-src/' "$f" > "parts/$(basename "$f")"
    done
    cat > apt.conf <<EOF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/parts";
Dir::State::lists "$work/lists";
APT::Sandbox::User "root";
EOF
    APT_CONFIG=$work/apt.conf apt-get -q update
    APT_CONFIG=$work/apt.conf apt-get -q source curl
fi
source=$(ls -d "$work"/curl-*/ | head -n 1)

flags="-O3 -DNDEBUG"
[ "$variant" = lto ] && flags="$flags -flto=auto -ffat-lto-objects"

cmake -S "$source" -B "$work/build-$variant" -G Ninja -Wno-dev \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_FLAGS_RELEASE="$flags" \
    -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
    -DBUILD_CURL_EXE=OFF -DBUILD_SHARED_LIBS=OFF -DBUILD_TESTING=OFF -DPICKY_COMPILER=OFF \
    -DHTTP_ONLY=ON -DCURL_USE_OPENSSL=ON \
    -DOPENSSL_INCLUDE_DIR="$include" -DOPENSSL_SSL_LIBRARY="$libssl" \
    -DOPENSSL_CRYPTO_LIBRARY="$libcrypto" \
    -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DUSE_NGHTTP2=OFF -DUSE_LIBIDN2=OFF \
    -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DCURL_USE_LIBSSH=OFF \
    -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_COOKIES=ON -DCURL_DISABLE_HSTS=ON \
    -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_NTLM=ON -DCURL_DISABLE_MIME=ON -DCURL_DISABLE_DOH=ON \
    -DCURL_DISABLE_VERBOSE_STRINGS=ON -DENABLE_UNIX_SOCKETS=OFF \
    -DCURL_DISABLE_OPENSSL_AUTO_LOAD_CONFIG=ON -DENABLE_THREADED_RESOLVER=ON \
    -DCURL_CA_BUNDLE=/etc/ssl/certs/ca-certificates.crt -DCURL_CA_PATH=none >/dev/null
ninja -C "$work/build-$variant" install >/dev/null
echo "libcurl installed in $prefix"
