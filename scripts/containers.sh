#!/usr/bin/env bash
# Podman and buildah on plyfs as their mount program, and the same steps on the kernel's overlayfs, where they must print
# the same, and on fuse-overlayfs, for the times (where its results differ from the kernel's, it says so). Needs root,
# podman, buildah and crun (or runc); no network. Nothing remains: it uses stores in a temporary directory and its own
# mount namespace.
#
#   scripts/containers.sh                      all of: plyfs rootless kernel fuse-overlayfs
#   scripts/containers.sh plyfs                one or several of them; rootless: plyfs run by a plain user
#   PLYFS_CONTAINERS_DIR=/var/tmp              place of the stores: a filesystem that can hold an upper layer
#   PLYFS_CONTAINERS_KEEP=1                    keep the stores for inspection
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
repo=$PWD

skip() { printf 'containers.sh: SKIPPED, nothing was tested: %s\n' "$1" >&2; exit 77; }
die() { printf 'containers.sh: %s\n' "$1" >&2; exit 1; }

check_machine() {
  [ "$(id -u)" = 0 ] || skip 'this needs root'
  local tool missing=()
  for tool in podman buildah node tar unshare fusermount3; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  [ ${#missing[@]} = 0 ] || skip "not installed: ${missing[*]} (Debian: apt-get install podman buildah crun fuse3)"
  command -v crun >/dev/null || command -v runc >/dev/null || skip 'neither crun nor runc is installed'
  (exec 9<>/dev/fuse) 2>/dev/null || skip 'there is no /dev/fuse that can be opened'
  [ -e dist/src/cli/main.js ] || die "plyfs is not built: run 'npm run build'"
}

# A mount namespace of our own: whatever happens, no mount outlives this script.
enter_namespace() {
  [ -z "${PLYFS_CONTAINERS_INSIDE:-}" ] || return 0
  unshare -m --propagation private true 2>/dev/null || skip 'this root may not mount (no CAP_SYS_ADMIN)'
  PLYFS_CONTAINERS_INSIDE=1 exec unshare -m --propagation private bash "$repo/scripts/containers.sh" "$@"
}

prepare() {
  base=$(mktemp -d "${PLYFS_CONTAINERS_DIR:-/var/tmp}/plyfs-podman-XXXXXX")
  chmod 755 "$base"
  trap cleanup EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  # crun supports cgroup v1 or v2, not systemd's mixture of both.
  if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified 2>/dev/null || true; fi
  # Root without CAP_SYS_RESOURCE may not raise limits, which podman does by default (and lowers NPROC itself).
  local nproc
  nproc=$(ulimit -Hu)
  if [ "$nproc" = unlimited ] || [ "$nproc" -gt 32768 ]; then nproc=32768; fi
  cat >"$base/containers.conf" <<CONF
[containers]
cgroups = "disabled"
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=$nproc:$nproc"]
netns = "none"
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
CONF
  export CONTAINERS_CONF=$base/containers.conf
  export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
}

cleanup() {
  local code=$? program
  set +e
  for program in "${programs[@]}"; do
    [ -d "$base/$program/store" ] && as "$program" podman rm -fa -t 0 >/dev/null 2>&1
  done
  # podman leaves a process behind that keeps a plain user's namespaces.
  local pause=$base/xdg/libpod/tmp/pause.pid
  [ ! -r "$pause" ] || kill -KILL "$(cat "$pause")"
  if [ -n "${PLYFS_CONTAINERS_KEEP:-}" ]; then
    echo "kept: $base"
  else
    awk -v base="$base/" 'index($5, base) == 1 { print $5 }' /proc/self/mountinfo | tac |
      while read -r point; do umount -l "$point"; done
    rm -rf --one-file-system "$base"
  fi
  exit "$code"
}

# A user without privileges, known in this mount namespace only: with a range of subordinate ids, and /dev/fuse as udev sets it.
uid=54321
make_user() {
  local file
  for file in passwd group subuid subgid; do
    { cat "/etc/$file" 2>/dev/null || true; } >"$base/$file"
    [ -e "/etc/$file" ] || : >"/etc/$file"
  done
  echo "plyfs-test:x:$uid:$uid::$base/home:/bin/bash" >>"$base/passwd"
  echo "plyfs-test:x:$uid:" >>"$base/group"
  echo "plyfs-test:600000:65536" | tee -a "$base/subuid" >>"$base/subgid"
  for file in passwd group subuid subgid; do mount --bind "$base/$file" "/etc/$file"; done
  mknod "$base/fuse" c 10 229 && chmod 666 "$base/fuse" && mount --bind "$base/fuse" /dev/fuse
  install -d -o $uid -g $uid -m 700 "$base/home" "$base/xdg"
  install -d -o $uid -g $uid "$base/rootless" "$base/run-rootless"
  as rootless podman unshare true
}

# A root filesystem from this machine's own packages: the essential ones and the libraries that their programs load.
make_rootfs() {
  local root=$base/rootfs packages
  mkdir -p "$root"/{dev,proc,sys,run,tmp,root,var/tmp,etc}
  chmod 1777 "$root/tmp" "$root/var/tmp"
  command -v dpkg-query >/dev/null || skip 'the root filesystem is made from Debian packages, and there is no dpkg'
  mapfile -t packages < <(dpkg-query -W -f '${Essential} ${binary:Package}\n' | sed -n 's/^yes //p')
  # /bin, /lib and friends are links into /usr since Debian 12.
  local link
  for link in bin sbin lib lib64; do
    if [ -L "/$link" ]; then cp -a "/$link" "$root/"; mkdir -p "$root/usr/$link"; fi
  done
  dpkg -L "${packages[@]}" | sort -u | while read -r path; do
    if [ -f "$path" ] || [ -L "$path" ]; then realpath -s -- "$path"; fi
  done | grep -v '^/usr/share/\(doc\|man\|locale\|info\)/' >"$base/files"
  { cat "$base/files"; libraries <"$base/files"; echo /usr/lib64/ld-linux-x86-64.so.2; } |
    while read -r path; do [ ! -e "$path" ] || echo "${path#/}"; done | sort -u >"$base/all"
  tar -C / --no-recursion --hard-dereference -cf - -T "$base/all" | tar -C "$root" -xf - --keep-directory-symlink
  cp /usr/share/base-passwd/passwd.master "$root/etc/passwd"
  cp /usr/share/base-passwd/group.master "$root/etc/group"
  tar -C "$root" --sort=name -cf "$base/rootfs.tar" .
}

# Shared libraries of the programs named on stdin, through all links.
libraries() {
  while read -r path; do
    case $path in */bin/* | */sbin/*) [ ! -x "$path" ] || ldd "$path" 2>/dev/null || true ;; esac
  done | grep -o '/[^ ]*\.so[^ ]*' | sort -u | while read -r library; do
    echo "/usr${library#/usr}"
    readlink -f "$library"
  done
}

mount_program() {
  case $1 in
    plyfs | rootless) echo "$repo/scripts/plyfs" ;;
    kernel) ;;
    *) command -v "$1" ;;
  esac
}

# as PROGRAM podman|buildah ARGUMENT...: with the store of that program.
as() {
  local program=$1 tool=$2 user=()
  shift 2
  [ "$program" != rootless ] || user=(setpriv "--reuid=$uid" "--regid=$uid" --clear-groups
    env -C "$base/home" "HOME=$base/home" "XDG_RUNTIME_DIR=$base/xdg" USER=plyfs-test LOGNAME=plyfs-test)
  "${user[@]}" "$tool" --root "$base/$program/store" --runroot "$base/run-${program%%-*}" --storage-driver overlay \
    --storage-opt "overlay.mount_program=$(mount_program "$program")" "$@"
}

podman_() { as "$program" podman "$@"; }
buildah_() { as "$program" buildah "$@"; }
inside() { podman_ run --rm "$@"; }

# Owner, mode, links, size and content of everything below the given directories, the same on every filesystem.
manifest='for d; do find "$d" -xdev -printf "%p %y %m %U:%G %l\n" | sort; find "$d" -xdev -type f -exec sha256sum {} + | sort -k2; done'

step_import() {
  podman_ import --quiet "$base/rootfs.tar" base:1 >/dev/null
  podman_ images --format '{{.Repository}}:{{.Tag}}'
}

step_run() {
  inside base:1 sh -c 'id; echo "hello from $0"; test -w /etc && echo writable'
  inside --read-only base:1 sh -c 'touch /etc/x 2>/dev/null || echo refused'
  inside base:1 sh -c "$manifest" sh /usr/bin | sha256sum
}

step_build() {
  local context=$base/$program/context
  mkdir -p "$context/tree/sub"
  echo one >"$context/tree/one"; echo two >"$context/tree/sub/two"; ln -sf one "$context/tree/link"
  cat >"$context/Containerfile" <<'FILE'
FROM base:1
RUN mkdir -p /app/dir/deep && seq 5000 >/app/dir/data && seq 10 >/app/dir/deep/data && echo secret >/app/secret && \
    echo a >/app/hard1 && ln /app/hard1 /app/hard2 && cp /bin/true /app/setuid && chmod 4755 /app/setuid && \
    chown 1234:1234 /app/hard1 && mkfifo /app/fifo && ln -s dir /app/link && mkdir -m 1777 /app/shared
RUN rm -r /app/dir && mkdir /app/dir && echo fresh >/app/dir/new
RUN rm /app/secret && echo more >>/app/hard1 && mv /app/fifo /app/pipe && rm /app/link && mkdir /app/link && echo x >/app/link/x
COPY tree /app/tree
RUN mv /app/tree /app/moved && rm -r /app/moved/sub && echo file >/app/moved/sub && rm -r /usr/share/perl5 /usr/share/debconf 2>/dev/null; \
    mv /app/dir /app/renamed && mkdir /app/dir && chmod 700 /app/dir && chown 1234 /app/dir
RUN rm -r /app/moved && mkdir /app/moved && touch -d @1000000000 /app/moved/old
USER 1234:1234
RUN id && echo mine >/app/dir/mine && ! touch /app/not-mine 2>/dev/null
FILE
  podman_ build --quiet --layers --network host --pull=never -t app:1 "$context" >/dev/null
  # A second build comes from the cache; after a change to a file only the later steps are repeated.
  echo changed >"$context/tree/one"
  podman_ build --layers --network host --pull=never -t app:2 "$context" 2>&1 | grep -c 'Using cache'
  podman_ history --format '{{.Size}}' app:2 | wc -l
  inside --user 0 app:2 sh -c "$manifest" sh /app /usr/share
}

step_diff() {
  podman_ run --name changed --user 0 app:1 sh -c 'echo more >>/app/hard2; rm -r /app/renamed; mkdir /app/renamed; echo n >/app/renamed/n
    rm /bin/sh; chmod 711 /app/moved; mv /app/link /app/other; mkdir -p /deep/er; echo > /deep/er/f'
  # With a mount program podman compares two mounts, without one it reads upper: replaced directories are shown differently.
  podman_ diff changed | grep -v ' /app/renamed' | sort
  podman_ commit --quiet changed app:3 >/dev/null
  inside --user 0 --entrypoint '["/bin/bash","-c"]' app:3 "set -- /app; test ! -e /bin/sh && echo no sh; $manifest"
  podman_ export -o "$base/$program/changed.tar" changed
  tar -tvf "$base/$program/changed.tar" --numeric-owner |
    sed 's/ [0-9]\{4\}-[0-9-]* [0-9:]* / /' | grep ' app/' | sort -k4
  podman_ rm changed >/dev/null
}

step_three() {
  local n
  for n in 1 2 3; do
    podman_ run -d --name "c$n" --user 0 app:1 sh -c "echo $n >/app/number; rm -r /app/dir; until [ -e /stop ]; do sleep 0.1; done; cat /app/number" >/dev/null
  done
  podman_ exec c1 sh -c 'echo one >>/app/hard1; ls /app'
  podman_ exec c2 sh -c 'cat /app/hard1; rm /app/hard1; ls /app'
  podman_ exec --user 1234 c3 sh -c 'cat /app/hard1; echo three >>/app/hard1; cat /app/hard1; touch /app/no 2>/dev/null || echo refused'
  for n in 1 2 3; do podman_ exec c$n touch /stop; podman_ wait c$n; podman_ logs c$n; done
  podman_ start -a c3
  for n in 1 2 3; do podman_ rm -f -t 0 c$n >/dev/null; done
}

step_volumes() {
  install -d -m 777 "$base/$program/bind"
  podman_ volume create data >/dev/null
  inside --user 0 -v data:/app/moved -v "$base/$program/bind:/bind" app:1 sh -c 'ls -l /app/moved | wc -l; echo v >/app/moved/v; echo b >/bind/b; mv /bind/b /app/moved/b'
  inside --user 0 -v data:/app/moved:ro app:1 sh -c 'cat /app/moved/v /app/moved/b; touch /app/moved/w 2>/dev/null || echo refused'
  ls "$base/$program/bind"
  inside --user 0 --tmpfs /app/dir app:1 sh -c 'ls -A /app/dir; echo t >/app/dir/t; cat /app/dir/t'
  podman_ volume rm data
}

step_user() {
  inside app:1 sh -c 'id; cat /app/dir/mine; echo again >>/app/dir/mine; cat /app/dir/mine; touch /etc/x 2>/dev/null || echo refused
    echo tmp >/tmp/f; stat -c "%u:%g %a" /tmp/f; chmod 600 /tmp/f; rm /tmp/f; cat /etc/shadow 2>/dev/null || echo no shadow'
  inside --user daemon app:1 sh -c 'id -un; ls /app/dir 2>/dev/null || echo refused; touch /app/shared/d; stat -c %U /app/shared/d'
  inside --user 1234 --entrypoint /app/setuid app:1 && echo set-user-id runs
}

step_buildah() {
  local container
  container=$(buildah_ from --pull-never localhost/app:1)
  buildah_ run --user 0 "$container" sh -c 'echo built >/app/built; rm -r /app/dir; mkdir /app/dir; touch /app/dir/again'
  buildah_ copy --quiet "$container" "$base/$program/context/tree" /app/copied >/dev/null
  local work='ls app && rm app/built && mv app/copied/one app/renamed-one'
  if [ "$program" = rootless ]; then
    buildah_ unshare --mount "point=$container" sh -c "cd \$point && $work"
  else
    (cd "$(buildah_ mount "$container")" && eval "$work")
    buildah_ umount "$container" >/dev/null
  fi
  buildah_ config --user 0 --env A=b "$container"
  buildah_ commit --quiet "$container" app:4 >/dev/null
  buildah_ rm "$container" >/dev/null
  inside app:4 sh -c "echo \$A; $manifest" sh /app
}

step_save() {
  podman_ save --quiet --format oci-archive -o "$base/$program/app.tar" app:3
  podman_ rmi -f app:3 >/dev/null
  podman_ load --quiet -i "$base/$program/app.tar" | tail -n 1
  inside --user 0 --entrypoint '["/bin/bash","-c"]' app:3 "set -- /app; $manifest" | sha256sum
  podman_ rmi -fa >/dev/null
  podman_ images -q | wc -l
}

steps=(import run build diff three volumes user buildah save)

# All steps on one program: their output goes to files, their times to the screen.
run_all() {
  program=$1
  mkdir -p "$base/$program/out"
  local name began code
  printf '\n== %s (load %s)\n' "$program" "$(cut -d' ' -f1 /proc/loadavg)"
  for name in "${steps[@]}"; do
    began=$(date +%s%N)
    # Not as a condition: `set -e` would be off inside, and the step would continue after a failure.
    set +e
    (set -e; "step_$name") >"$base/$program/out/$name" 2>"$base/$program/err"
    code=$?
    set -e
    if [ $code = 0 ]; then
      printf '   %-8s %6d ms, %d lines\n' "$name" $((($(date +%s%N) - began) / 1000000)) "$(wc -l <"$base/$program/out/$name")"
    else
      printf '   %-8s FAILED\n' "$name"
      tail -n 15 "$base/$program/err" "$base/$program/out/$name"
      failed+=("$program $name")
    fi
  done
  local left
  left=$(awk -v dir="$base/$program/" 'index($5, dir) == 1 && $0 ~ / - fuse/' /proc/self/mountinfo | wc -l)
  [ "$left" = 0 ] || { printf '   %d mounts are left\n' "$left"; failed+=("$program left mounts"); }
}

# compare NAME: compares the output of the steps with that on the kernel's overlayfs. Returns how many steps differ.
compare() {
  local name differs=0
  printf '\n== %s compared with the kernel\n' "$1"
  for name in "${steps[@]}"; do
    if diff -U1 --label kernel --label "$1" "$base/kernel/out/$name" "$base/$1/out/$name" | cut -c1-120; then
      printf '   %-8s the same\n' "$name"
    else
      printf '   %-8s DIFFERENT\n' "$name"
      differs=$((differs + 1))
    fi
  done
  return "$differs"
}

main() {
  check_machine
  enter_namespace "$@"
  failed=()
  programs=("$@")
  [ $# -gt 0 ] || programs=(plyfs rootless kernel fuse-overlayfs)
  prepare
  echo '== root filesystem'
  make_rootfs
  printf '   %s\n' "$(du -sh "$base/rootfs.tar" | cut -f1)"
  ran=' '
  for program in "${programs[@]}"; do
    if [ "$program" = rootless ] && ! make_user; then
      printf '\n   MISSING user namespaces (newuidmap of the package uidmap?): rootless not run\n'
    elif [ "$program" != kernel ] && [ -z "$(mount_program "$program")" ]; then
      printf '\n   MISSING %s: not run\n' "$program"
    else
      run_all "$program"
      ran="$ran$program "
    fi
  done
  case $ran in
    *' kernel '*)
      for program in plyfs rootless; do
        case $ran in *" $program "*) compare $program || failed+=("$? steps differ between $program and kernel") ;; esac
      done
      case $ran in *' fuse-overlayfs '*) compare fuse-overlayfs || printf '   (%d steps; no failure of plyfs)\n' "$?" ;; esac
      ;;
  esac
  printf '\n== result\n'
  if [ ${#failed[@]} -gt 0 ]; then
    printf '   FAILED: %s\n' "${failed[@]}"
    exit 1
  fi
  echo '   all passed'
}

main "$@"
