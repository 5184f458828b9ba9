#!/usr/bin/env bash
# A merged Debian root filesystem put to work: packages, databases, version control, a build, copies with all attributes.
# Afterwards the package database must be clean, each file as in its package, and the lower layer unchanged; the
# kernel's overlayfs, where it can be mounted, must find the same with the resulting upper. Needs root, debootstrap and a
# Debian mirror (or PLYFS_ROOTFS); steps that the machine can't run are skipped, with a message. Nothing remains.
#
#   scripts/rootfs-work.sh                     on plyfs
#   scripts/rootfs-work.sh fuse-overlayfs      or: kernel; for the times
#   PLYFS_ROOTFS=DIR                           a root made by 'debootstrap --variant=minbase', used as it is
#   PLYFS_ROOTFS_DIR=/var/tmp                  place of all files: a filesystem that can hold an upper layer
#   PLYFS_ROOTFS_STEPS='apt git'               only these steps
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repo=$PWD

skip() { printf 'rootfs-work.sh: SKIPPED, nothing was tested: %s\n' "$1" >&2; exit 77; }
die() { printf 'rootfs-work.sh: %s\n' "$1" >&2; exit 1; }

check_machine() {
  [ "$(id -u)" = 0 ] || skip 'this needs root'
  [ "$program" = kernel ] || (exec 9<>/dev/fuse) 2>/dev/null || skip 'there is no /dev/fuse that can be opened'
  [ -n "${PLYFS_ROOTFS:-}" ] || command -v debootstrap >/dev/null || skip 'debootstrap is not installed, and PLYFS_ROOTFS names no root'
  [ "$program" = plyfs ] || [ "$program" = kernel ] || command -v "$program" >/dev/null || skip "$program is not installed"
  [ -e dist/src/cli/main.js ] || die "plyfs is not built: run 'npm run build'"
}

# A mount namespace of our own: whatever happens, no mount outlives this script.
enter_namespace() {
  [ -z "${PLYFS_ROOTFS_INSIDE:-}" ] || return 0
  unshare -m --propagation private true 2>/dev/null || skip 'this root may not mount (no CAP_SYS_ADMIN)'
  # Processes too: a database that a failed step left running ends with the namespace.
  PLYFS_ROOTFS_INSIDE=1 exec unshare -m -p -f --mount-proc --propagation private bash "$repo/scripts/rootfs-work.sh" "$@"
}

prepare() {
  base=$(mktemp -d "${PLYFS_ROOTFS_DIR:-/var/tmp}/plyfs-rootfs-XXXXXX")
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  mkdir -p "$base"/{upper,work,merged,upper2,work2,merged2}
  if [ -n "${PLYFS_ROOTFS:-}" ]; then
    lower=$PLYFS_ROOTFS
  else
    lower=$base/lower
    debootstrap --variant=minbase bookworm "$lower" >"$base/log" 2>&1 || skip "debootstrap failed: $(tail -n 1 "$base/log")"
  fi
  fingerprint >"$base/before"
}

cleanup() {
  local code=$?
  set +e
  awk -v base="$base/" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo | tac |
    while read -r point; do umount -l "$point"; done
  rm -rf --one-file-system "$base"
  exit "$code"
}

# Everything in the lower layer that a change could affect, including change times and inode numbers.
fingerprint() { find "$lower" -xdev -printf '%i %n %m %U:%G %s %C@ %T@ %p %l\n' | sort | sha256sum; }

# merge PROGRAM LOWER UPPER WORK MERGED
merge() {
  local options="lowerdir=$2,upperdir=$base/$3,workdir=$base/$4"
  case $1 in
    kernel) mount -t overlay overlay -o "$options" "$base/$5" ;;
    plyfs) "$repo/scripts/plyfs" -o "$options" "$base/$5" ;;
    *) "$1" -o "$options" "$base/$5" ;;
  esac
}

furnish() {
  local root=$base/merged
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
}

# A shell script on stdin, run in the merged root.
inside() { chroot "$base/merged" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C DEBIAN_FRONTEND=noninteractive \
  http_proxy="${http_proxy:-}" https_proxy="${https_proxy:-}" bash -eu -o pipefail -s; }

step_apt() {
  inside <<'SCRIPT'
apt-get -qq update
apt-get -qq -y --no-install-recommends install postgresql redis-server git gcc make libc6-dev rsync acl attr libcap2-bin \
  debsums man-db less vim-tiny curl ca-certificates openssh-client sudo cron dbus locales python3 sqlite3 tmux zip unzip \
  file bzip2 xz-utils iputils-ping procps iproute2
apt-get -qq -y --reinstall install coreutils passwd perl-base
apt-get -qq -y purge tmux vim-tiny
apt-get -qq -y autoremove
test -z "$(dpkg --audit)"
debsums -s
echo "$(dpkg -l | grep -c ^ii) packages, $(find / -xdev -perm /6000 -type f | wc -l) set-id files"
id postgres; id redis; getcap /usr/bin/ping; stat -c '%A %U:%G %n' /usr/bin/sudo /usr/bin/passwd
SCRIPT
}

step_postgres() {
  inside <<'SCRIPT'
install -d -o postgres /srv/pg
cd /srv/pg
cat >run <<'RUN'
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
initdb -D data -k >/dev/null
start() { pg_ctl -D data -w -t 60 -o "-k /srv/pg -c listen_addresses=" -l log start >/dev/null; }
start
export PGHOST=/srv/pg
createdb bench
pgbench -q -i -s 5 bench 2>/dev/null
pgbench -c 4 -j 2 -T 10 bench | grep -E 'tps|failed'
# A crash: no committed data may be missing afterwards.
psql -qAt -c 'create table kept as select generate_series(1, 1000) n' bench
pg_ctl -D data -m immediate stop >/dev/null
start
psql -qAt -c 'select count(*), sum(n) from kept' -c 'select count(*) from pgbench_accounts' bench
pg_dump bench | wc -c
pg_ctl -D data -m fast stop >/dev/null
pg_checksums --check -D data | grep -i bad
RUN
setpriv --reuid postgres --regid postgres --init-groups sh run
SCRIPT
}

step_redis() {
  inside <<'SCRIPT'
install -d -o redis /srv/redis
cd /srv/redis
start() {
  setpriv --reuid redis --regid redis --init-groups redis-server --port 0 --unixsocket /srv/redis/s --dir /srv/redis \
    --appendonly yes --appendfsync always --save '' --daemonize yes --pidfile /srv/redis/pid --logfile /srv/redis/log >/dev/null
  until redis-cli -s s ping 2>/dev/null | grep -q PONG; do sleep 0.1; done
}
start
redis-benchmark -s s -q -n 5000 -c 10 -t set,lpush | tr '\r' '\n' | grep 'per second'
redis-cli -s s mset a 1 b 2 >/dev/null
kill -9 "$(cat pid)"
rm -f s
start
redis-cli -s s mget a b
redis-cli -s s bgrewriteaof >/dev/null
until redis-cli -s s info persistence | grep -q aof_rewrite_in_progress:0; do sleep 0.1; done
redis-cli -s s dbsize
redis-cli -s s shutdown
redis-check-aof appendonlydir/*.manifest | tail -n 1
SCRIPT
}

step_git() {
  inside <<'SCRIPT'
git init -q -b main /srv/git && cd /srv/git
git config user.email test@example.org && git config user.name test
for n in 1 2 3 4; do
  mkdir -p d$n && for m in $(seq 200); do seq $((n * m % 97 + 3)) >d$n/f$m; done
  git add . && git commit -q -m "commit $n"
done
git checkout -q -b side HEAD~2 && git rm -q -r d1 && git commit -q -m side && git checkout -q main && git merge -q -m merge side
git gc -q --aggressive --prune=now
git fsck --full --strict
git clone -q --no-hardlinks . /srv/clone && git clone -q --local . /srv/clone2
git -C /srv/clone status --porcelain
git count-objects -v | grep -E 'in-pack|garbage'
git worktree add -q /srv/tree side && ls /srv/tree
SCRIPT
}

step_make() {
  inside <<'SCRIPT'
mkdir -p /srv/c && cd /srv/c
for n in $(seq 150); do printf '#include <stdio.h>\nint f%d(int x) { printf("%%d", x); return x + %d; }\n' $n $n >f$n.c; done
{ for n in $(seq 150); do echo "int f$n(int);"; done; echo 'int main(void) { int x = 0;'; for n in $(seq 150); do echo "x += f$n(0);"; done; echo 'return x == 11325 ? 0 : 1; }'; } >main.c
printf 'OBJECTS := $(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: lib.a main.o\n\tgcc -o $@ main.o lib.a\nlib.a: $(filter-out main.o,$(OBJECTS))\n\tar rcs $@ $^\n' >Makefile
make -s -j2
./program >/dev/null && echo works
make
touch f7.c && make -n | wc -l
SCRIPT
}

step_rsync() {
  inside <<'SCRIPT'
mkdir /srv/copy
rsync -aHAX /usr/bin /usr/lib/x86_64-linux-gnu /etc /var/lib/dpkg /srv/copy/
rsync -aHAXn --checksum --delete --itemize-changes /usr/bin /usr/lib/x86_64-linux-gnu /etc /var/lib/dpkg /srv/copy/ | wc -l
find /srv/copy | wc -l
rm -rf /srv/copy
SCRIPT
}

step_tar() {
  inside <<'SCRIPT'
mkdir -p /srv/t/a/sub && cd /srv/t
truncate -s 100M a/sparse && echo middle | dd of=a/sparse bs=1 seek=50000000 conv=notrunc status=none
cp /usr/bin/ping a/ping && setcap cap_net_raw+ep a/ping
echo x >a/f && ln a/f a/hard && ln -s f a/soft && mkfifo a/fifo && mknod a/null c 1 3 && chmod 6711 a/ping && setcap cap_net_raw+ep a/ping
setfattr -n user.note -v hello a/f && setfattr -n trusted.note -v hidden a/sub && setfacl -m u:33:rwx,g:44:r a/f && setfacl -d -m u:33:rwx a/sub
chown 12:34 a/soft -h && touch -d '2001-02-03 04:05:06.789' a/f
tar --xattrs --xattrs-include='*' --acls -S -cf t.tar a
mkdir b && tar --xattrs --xattrs-include='*' --acls -S -p -xf t.tar -C b
cd /srv/t && describe() { (cd "$1"; find . -printf '%p %y %m %U:%G %n %s %T@ %l\n' | grep -v ' d ' | sort; getfattr -R -h -d -m - . | grep -v '^# owner'; getfacl -R -n . ) >"/srv/t/$2"; }
describe a 1; describe b/a 2
diff 1 2 && echo the same
test $(stat -c %b b/a/sparse) -lt 100 && echo sparse
getcap b/a/ping | sed 's/.*ping/ping/'
SCRIPT
}

# In a merged tree over this machine's own root, which has Node.js.
step_npm() {
  command -v npm >/dev/null || { echo 'SKIPPED: npm is not installed'; return 0; }
  merge "$program" / upper2 work2 merged2
  local copy=$base/merged2/var/tmp/project
  mkdir "$copy"
  cp "$repo"/{package.json,package-lock.json,.npmrc} "$copy"
  mount --rbind /dev "$base/merged2/dev"
  mount -t proc proc "$base/merged2/proc"
  chroot "$base/merged2" bash -euc 'cd /var/tmp/project; npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null; node_modules/.bin/tsc --version; find node_modules -type f | wc -l; npm ls --depth=0 | wc -l'
  umount -l "$base/merged2/proc" "$base/merged2/dev"
  leave merged2
}

# Unmounts and waits for the server, which must be gone before another mount uses the same upper.
leave() {
  local _
  for _ in $(seq 50); do umount "$base/$1" 2>/dev/null && break; sleep 0.1; done
  if mountpoint -q "$base/$1"; then echo "$1 is still busy"; return 1; fi
}

# The upper, as seen by the kernel's overlayfs.
step_kernel() {
  umount -l "$base/merged/dev" "$base/merged/proc"
  leave merged
  [ "$(fingerprint)" = "$(cat "$base/before")" ] || { echo 'the lower layer was changed'; return 1; }
  echo 'lower is unchanged'
  ls "$base/work/work" | wc -l
  [ "$program" != fuse-overlayfs ] || return 0
  merge kernel "$lower" upper work merged || { echo "SKIPPED: the kernel's overlayfs can't be mounted here"; return 0; }
  inside <<'SCRIPT'
if command -v debsums >/dev/null; then test -z "$(dpkg --audit)"; debsums -s; fi
if [ -d /srv/git ]; then git -C /srv/git fsck --full --strict; fi
echo 'the kernel finds the same'
SCRIPT
  leave merged
}

run_steps() {
  local name began code
  for name in "${steps[@]}"; do
    began=$(date +%s%N)
    # Not as a condition: `set -e` would be off inside.
    set +e
    (set -e; "step_$name") >"$base/out" 2>&1
    code=$?
    set -e
    printf '\n== %s: %s, %d ms\n' "$name" "$([ $code = 0 ] && echo done || echo FAILED)" $((($(date +%s%N) - began) / 1000000))
    if [ $code = 0 ]; then tail -n 12 "$base/out" | sed 's/^/   /'; else tail -n 40 "$base/out"; failed+=("$name"); fi
  done
}

main() {
  program=${1:-plyfs}
  check_machine
  enter_namespace "$@"
  failed=()
  read -ra steps <<<"${PLYFS_ROOTFS_STEPS:-apt postgres redis git make rsync tar npm} kernel"
  prepare
  merge "$program" "$lower" upper work merged
  furnish
  printf '== %s, load %s\n' "$(awk -v p="$base/merged" '$2 == p { print $1, $3 }' /proc/mounts)" "$(cut -d' ' -f1 /proc/loadavg)"
  run_steps
  printf '\n== result\n'
  if [ ${#failed[@]} -gt 0 ]; then
    printf '   FAILED: %s\n' "${failed[*]}"
    exit 1
  fi
  echo '   all passed'
}

main "$@"
