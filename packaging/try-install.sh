#!/usr/bin/env bash
# Installs a package into a fresh Debian in a folder of its own, uses it, removes and purges it:
# try-install.sh PACKAGE.deb (as root; takes a minute or two)
set -euo pipefail
package=$(realpath "$1")
system=$(mktemp -d /tmp/sluice-system.XXXXXX)
server=
chmod 755 "$system"

step() { printf '» %s\n' "$*"; }
fail() { printf 'failed: %s\n' "$*" >&2; exit 1; }
inside() { chroot "$system" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"; }
absent() { for path in "$@"; do [ ! -e "$system$path" ] || fail "$path is still there"; done; }
clean() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf --one-file-system "$system"
}
trap clean EXIT

step "a fresh system"
# With the package sources of this machine, as they are set up.
debootstrap --variant=minbase bookworm "$system" >"$system.log" 2>&1 || { tail -n 20 "$system.log"; exit 1; }
rm -f "$system.log"
rm -f "$system/etc/apt/sources.list"
cp -r /etc/apt/. "$system/etc/apt/"
cp /etc/resolv.conf "$system/etc/"
cp "$package" "$system/sluice.deb"

step "install"
inside apt-get -qq update 2>"$system/log" || { cat "$system/log"; exit 1; }
inside apt-get -qq install -y --no-install-recommends /sluice.deb >"$system/log" 2>&1 || { tail -n 20 "$system/log"; exit 1; }
inside id sluice
[ "$(inside stat -c '%U %a' /var/lib/sluice)" = "sluice 700" ] || fail "the state folder"
inside sluice version
inside sluice check --offline --config /etc/sluice/sluice.yaml

step "start, as the service's user"
# Not through a function: $! is to be the program itself.
chroot "$system" setpriv --reuid=sluice --regid=sluice --clear-groups --no-new-privs \
    env -i PATH=/usr/bin:/bin SLUICE_STATE=/var/lib/sluice HOME=/var/lib/sluice \
    sluice serve --config /etc/sluice/sluice.yaml --simulator --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    2>"$system/ready" &
server=$!
for _ in $(seq 100); do
    grep -q '^ready' "$system/ready" && break
    kill -0 "$server" || { cat "$system/ready" >&2; fail "it did not start"; }
    sleep 0.1
done
address=$(sed -n 's/^ready client=\([^ ]*\).*/\1/p' "$system/ready")
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
printf 'GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
head -n 1 <&3 | grep ' 200 ' || fail "no answer"
exec 3>&-
kill -TERM "$server"
wait "$server" || fail "it did not end well"
server=

step "install again: the configuration stays"
echo '# mine' >>"$system/etc/sluice/sluice.yaml"
inside dpkg -i /sluice.deb >/dev/null
tail -n 1 "$system/etc/sluice/sluice.yaml" | grep -qx '# mine' || fail "the configuration was replaced"

step "remove: configuration and state stay"
inside apt-get -qq remove -y sluice >/dev/null
absent /usr/bin/sluice /usr/lib/systemd/system/sluice.service /usr/share/man/man1/sluice.1.gz
[ -e "$system/etc/sluice/sluice.yaml" ] && [ -e "$system/var/lib/sluice" ] || fail "removed too much"

step "purge"
inside apt-get -qq purge -y sluice >/dev/null
absent /etc/sluice /etc/default/sluice /var/lib/sluice
! inside id sluice >/dev/null 2>&1 || fail "the user is still there"
printf 'installed, started, removed and purged: fine\n'
