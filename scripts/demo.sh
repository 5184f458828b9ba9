#!/usr/bin/env bash
# Shows what plyfs does on this machine's own root: mounts it as the lowest layer under two small layers, runs real
# programs in the result, then shows what they left in the upper layer and that the root itself is unchanged.
#
# Needs root, Linux with /dev/fuse, Node.js 20. Changes nothing outside a temporary directory (and installs, with apt,
# the packages attr and fuse3 when they are missing: PLYFS_DEMO_NO_INSTALL=1 forbids it).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

bold='' plain=''
[ ! -t 1 ] || { bold=$'\e[1m'; plain=$'\e[0m'; }
started=$SECONDS
part() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
say() { printf '   %s\n' "$@"; }
die() { printf '\ndemo.sh: %s\n' "$1" >&2; exit 1; }
# show COMMAND: prints it, runs it, indents its output.
show() {
  printf '\n   %s$ %s%s\n' "$bold" "$*" "$plain"
  local rc=0
  bash -c "$*" 2>&1 | sed 's/^/   /' || rc=$?
  return "$rc"
}
# inside SCRIPT: the same in a chroot of the merged root.
inside() {
  printf '\n   %s(merged root) # %s%s\n' "$bold" "$1" "$plain"
  env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C \
    chroot "$merged" /bin/sh -ec "$1" 2>&1 | sed 's/^/   /'
}
has() { env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "command -v $1" >/dev/null; }

part 'What is needed'
[ "$(uname -s)" = Linux ] || die 'plyfs is for Linux.'
[ "$(id -u)" = 0 ] || die 'run this as root (sudo scripts/demo.sh): it mounts, makes whiteouts and calls chroot.'
command -v node >/dev/null || die 'Node.js is not installed: version 20 or newer is needed on PATH.'
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || die "Node.js $(node --version) is too old: 20 or newer is needed."
command -v npm >/dev/null || die 'npm is not installed; it comes with Node.js.'
if [ ! -e /dev/fuse ]; then
  modprobe fuse 2>/dev/null || true
  [ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229 2>/dev/null || true
fi
(exec 9<>/dev/fuse) 2>/dev/null ||
  die 'there is no /dev/fuse that can be opened. In a container: run it with --device /dev/fuse --cap-add SYS_ADMIN.'
missing=()
command -v setfattr >/dev/null || missing+=(attr)
command -v fusermount3 >/dev/null || missing+=(fuse3)
if [ ${#missing[@]} -gt 0 ] && command -v apt-get >/dev/null && [ -z "${PLYFS_DEMO_NO_INSTALL:-}" ]; then
  say "installing with apt: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { timeout 60 apt-get -qq update && timeout 60 apt-get -qq -y --no-install-recommends install "${missing[@]}"; } \
    >/dev/null 2>&1 || say 'apt could not install them; continuing without them'
fi
say "$(. /etc/os-release 2>/dev/null; echo "${PRETTY_NAME:-Linux}"), kernel $(uname -r), node $(node --version): fine"

part 'Install and build'
if [ ! -d node_modules/koffi ] || [ ! -d node_modules/typescript ]; then
  say 'npm ci (no install scripts: every native part ships prebuilt)'
  timeout 120 npm ci --ignore-scripts --include=dev --no-audit --no-fund --loglevel=error || die 'npm ci failed'
fi
timeout 180 npm run --silent build || die 'the build failed'
plyfs=$PWD/dist/src/cli/main.js
say "built $(node "$plyfs" --version)"

temp=$(mktemp -d /tmp/plyfs-demo-XXXXXX)
merged=$temp/merged
cleanup() {
  rc=$?
  trap - EXIT
  if mountpoint -q "$merged" 2>/dev/null; then
    timeout 20 node "$plyfs" umount "$merged" >/dev/null 2>&1 || umount -l "$merged" || true
  fi
  umount "$temp" 2>/dev/null || umount -l "$temp" 2>/dev/null || true
  rmdir "$temp" 2>/dev/null || true
  [ "$rc" = 0 ] || printf '\ndemo.sh: stopped with an error (%s); everything is unmounted.\n' "$rc" >&2
  exit "$rc"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
# An upper layer can't be on an overlay, as /tmp is in many containers: a tmpfs holds all that is needed.
mount -t tmpfs -o mode=0755 plyfs-demo "$temp" ||
  die 'mounting is not permitted here. In a container: run it with --device /dev/fuse --cap-add SYS_ADMIN.'
mkdir "$temp"/{site,app,upper,work,merged}

part 'Two small layers over the root'
say 'A layer is a plain directory. "site" changes and deletes parts of the root; "app" is on top of it.'
mkdir -p "$temp"/site/{etc,dev,tmp} "$temp"/app/{etc,opt/app}
echo 'This root is made of layers.' >"$temp"/site/etc/motd
mknod "$temp"/site/etc/issue c 0 0
mknod -m 666 "$temp"/site/dev/null c 1 3
mknod -m 666 "$temp"/site/dev/zero c 1 5
chmod 1777 "$temp"/site/tmp
if command -v setfattr >/dev/null; then
  setfattr -n trusted.overlay.opaque -v y "$temp"/site/tmp
  mkdir -p "$temp"/app/usr/share/doc
  setfattr -n trusted.overlay.opaque -v y "$temp"/app/usr/share/doc
  echo 'All other documentation is hidden: this directory is opaque.' >"$temp"/app/usr/share/doc/README
fi
printf '#!/bin/sh\necho "hello from the app layer, on $(cat /etc/hostname)"\n' >"$temp"/app/opt/app/hello
chmod +x "$temp"/app/opt/app/hello
echo 'merged-host' >"$temp"/app/etc/hostname
show "cd $temp && find site app -mindepth 2 ! -path '*/dev*' | sort | xargs stat -c '%-22n %F'"
say '' 'A character device 0:0 is a whiteout: it hides the name below it. That is the format of the kernel overlayfs.'

part 'Mount'
fingerprint() {
  local dirs=()
  for dir in /etc /usr /bin /sbin /lib /lib64 /opt /boot /srv; do [ ! -e "$dir" ] || dirs+=("$dir"); done
  find "${dirs[@]}" -xdev -printf '%p %i %y %m %U:%G %s %T@ %C@ %l\n' 2>/dev/null | LC_ALL=C sort
}
fingerprint >"$temp"/before
say "noted: path, inode, type, mode, owner, size and times of $(wc -l <"$temp"/before) objects of the root"
show "node $plyfs -o lowerdir=$temp/app:$temp/site:/,upperdir=$temp/upper,workdir=$temp/work $merged"
show "grep ' $merged ' /proc/self/mountinfo | cut -d' ' -f5-"

part 'The merged root'
inside 'cat /etc/motd; /opt/app/hello; cat /usr/share/doc/README 2>/dev/null || true; ls /etc/issue || true'
if has dpkg; then
  inside 'echo "$(dpkg -l | grep -c ^ii) packages installed; ls comes from: $(dpkg -S /bin/ls /usr/bin/ls 2>/dev/null | head -n 1)"'
fi
if has python3; then
  inside "python3 -c 'import os, sys; print(\"python\", sys.version.split()[0], \"sees\", sum(len(f) for _, _, f in os.walk(\"/etc\")), \"files in /etc\")'"
fi
if has gcc; then
  inside "cd /tmp; printf '#include <stdio.h>\nint main(void) { puts(\"compiled and run in the merged root\"); return 0; }\n' > a.c; gcc -O2 -o a a.c && ./a"
fi

part 'Change it'
inside 'echo changed > /etc/hostname; echo "one more line" >> /etc/profile; rm -f /etc/fstab; chmod 700 /usr/bin/env'
inside 'rm -rf /usr/share/man /usr/lib/python3*/test; mkdir /usr/share/man; echo "a new manual" > /usr/share/man/new; ls /usr/share/man'
inside 'mv /etc/shells /etc/shells.old 2>/dev/null || true; ln -s /etc/shells.old /etc/shells; useradd -r layered 2>/dev/null || echo "layered:x:990:990::/:/bin/sh" >> /etc/passwd; tail -n 1 /etc/passwd'
if has dpkg; then
  inside 'mkdir -p /tmp/p/DEBIAN /tmp/p/usr/share/plyfs-demo; echo "installed by dpkg" > /tmp/p/usr/share/plyfs-demo/file
printf "Package: plyfs-demo\nVersion: 1\nArchitecture: all\nMaintainer: demo <demo@example.org>\nDescription: demo\n" > /tmp/p/DEBIAN/control
dpkg-deb -b /tmp/p /tmp/p.deb > /dev/null; dpkg -i /tmp/p.deb 2>&1 | tail -n 1; cat /usr/share/plyfs-demo/file || true'
fi

part 'What is in the upper layer now'
say 'Only the differences: copied-up and new files, whiteouts for what was deleted, opaque marks on replaced directories.' ''
# sed reads to the end, whereas head would close the pipe.
(cd "$temp/upper" && find . -mindepth 1 ! -path './tmp/p*' -printf '%y %p\n' | LC_ALL=C sort -k2 | while read -r kind path; do
  case $kind in
    c) [ "$(stat -c %t:%T "$path")" = 0:0 ] && kind='whiteout ' || kind='device   ' ;;
    d) command -v getfattr >/dev/null && getfattr -n trusted.overlay.opaque "$path" >/dev/null 2>&1 &&
      kind='opaque   ' || kind='directory' ;;
    f) kind='file     ' ;;
    l) kind='symlink  ' ;;
  esac
  printf '   %s %s\n' "$kind" "${path#.}"
done) | sed -n '1,60p'
show "du -sh $temp/upper | cut -f1"

part 'The root is untouched'
show "timeout 30 node $plyfs umount $merged"
fingerprint >"$temp"/after
if cmp -s "$temp"/before "$temp"/after; then
  say "the same $(wc -l <"$temp"/after) objects with the same attributes:"
  show "cd $temp && sha256sum before after"
else
  diff "$temp"/before "$temp"/after | sed -n '1,20p'
  die 'the root changed while the demo ran (by another program? the lines above say what).'
fi
show 'cat /etc/hostname; ls -d /usr/share/man 2>/dev/null | head -n 1; ls -l /usr/bin/env | cut -c1-10'

if grep -qw overlay /proc/filesystems && mount -t overlay overlay \
  -o "lowerdir=$temp/app:$temp/site:/,upperdir=$temp/upper,workdir=$temp/work" "$merged" 2>/dev/null; then
  part "The kernel's own overlayfs reads what plyfs wrote"
  show "cat $merged/etc/hostname $merged/usr/share/man/new; ls $merged/etc/fstab $merged/etc/issue 2>&1 || true"
  umount "$merged"
fi

part 'The same layers through libfuse, by the npm package fuse-native'
if node "$plyfs" --transport fuse-native \
  -o "lowerdir=$temp/app:$temp/site:/,upperdir=$temp/upper,workdir=$temp/work" "$merged" 2>"$temp"/said; then
  show "grep ' $merged ' /proc/self/mountinfo | cut -d' ' -f5-"
  show "cat $merged/etc/hostname $merged/usr/share/man/new; ls $merged/etc/fstab $merged/etc/issue 2>&1 || true"
  show "timeout 30 node $plyfs umount $merged"
  say '' 'What this transport can not do, and why: native-notes/fuse-native.md'
else
  say "not here: $(cat "$temp"/said)"
fi
part "Done in $((SECONDS - started)) s. Everything is cleaned up."
