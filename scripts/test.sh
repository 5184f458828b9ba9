#!/usr/bin/env bash
# Installs what the tests need, builds, lints, runs every test. Works as root and unprivileged; tests that the machine
# can't run (no root, no /dev/fuse, no kernel overlayfs, a missing tool) are skipped, with a message. Exit code 0: all that ran passed.
#
#   scripts/test.sh                    everything
#   scripts/test.sh mounted oracle     only these folders of test/
#   PLYFS_TEST_NO_INSTALL=1            use the node_modules and the tools that are installed
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec </dev/null

# In a mount namespace of its own: otherwise mounts of the tests would live on in each namespace that any other program on the
# machine makes meanwhile, and the tests wait for servers and filesystems to end.
if [ -z "${PLYFS_TEST_NAMESPACE:-}" ] && [ "$(id -u)" = 0 ] && unshare -m --propagation private true 2>/dev/null; then
  PLYFS_TEST_NAMESPACE=1 exec unshare -m --propagation private bash scripts/test.sh "$@"
fi

started=$SECONDS
phase() { printf '\n== %s (after %d s)\n' "$1" "$((SECONDS - started))"; }
note() { printf '   %s\n' "$1"; }
die() { printf '\ntest.sh: %s\n' "$1" >&2; exit 1; }

phase 'machine'
command -v node >/dev/null || die 'Node.js is not installed: version 20 or newer is needed on PATH.'
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || die "Node.js $(node --version) is too old: version 20 or newer is needed on PATH."
command -v npm >/dev/null || die 'npm is not installed; it comes with Node.js.'
note "$(uname -sr) $(uname -m), node $(node --version), npm $(npm --version), uid $(id -u), $(nproc) cpu"

phase 'tools'
# tool:Debian package
wanted=(getfattr:attr setfacl:acl sqlite3:sqlite3 git:git fusermount3:fuse3 flock:util-linux mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs mkfs.erofs:erofs-utils tar:tar gcc:gcc setcap:libcap2-bin umoci:umoci skopeo:skopeo)
packages=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || packages+=("${pair##*:}")
done
if [ ${#packages[@]} -gt 0 ] && [ -z "${PLYFS_TEST_NO_INSTALL:-}" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    note "installing with apt: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt=(apt-get -qq -y --no-install-recommends -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=30)
    # After a failure, one package at a time: an unavailable one must not prevent the others.
    if ! { timeout -k 5 60 apt-get -qq update -o Acquire::http::Timeout=20 && timeout -k 5 90 "${apt[@]}" install "${packages[@]}"; } >/tmp/plyfs-apt.$$ 2>&1; then
      tail -n 3 /tmp/plyfs-apt.$$ | sed 's/^/   apt: /'
      for package in "${packages[@]}"; do
        timeout -k 5 30 "${apt[@]}" install "$package" >/dev/null 2>&1 || note "could not install $package"
      done
    fi
    rm -f /tmp/plyfs-apt.$$
  else
    note "not root, or no apt: not installing ${packages[*]}"
  fi
fi
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" >/dev/null || note "MISSING ${pair%%:*} (package ${pair##*:}): tests that need it are skipped"
done

phase 'fuse'
if [ ! -e /dev/fuse ] && [ "$(id -u)" = 0 ]; then
  modprobe fuse 2>/dev/null || true
  [ -e /dev/fuse ] || { mknod /dev/fuse c 10 229 && chmod 666 /dev/fuse; } 2>/dev/null || true
fi
# Tries to open it: a container may show the device and still forbid its use.
if [ -e /dev/fuse ] && (exec 9<>/dev/fuse) 2>/dev/null; then
  note '/dev/fuse can be opened'
else
  note 'NO /dev/fuse that can be opened: tests that mount plyfs are skipped'
fi

phase 'npm ci'
if [ -n "${PLYFS_TEST_NO_INSTALL:-}" ] && [ -d node_modules ]; then
  note 'skipped, as requested'
else
  # No install scripts: every native part ships prebuilt, and a build from source would need the network.
  timeout -k 5 120 npm ci --ignore-scripts --include=dev --no-audit --no-fund --loglevel=error ||
    timeout -k 5 120 npm ci --ignore-scripts --include=dev --no-audit --no-fund --loglevel=error --prefer-offline ||
    die 'npm ci failed'
fi

phase 'build'
rm -rf dist
timeout -k 5 180 npm run --silent build || die 'the build failed'

phase 'lint'
timeout -k 5 180 node_modules/.bin/biome check --error-on-warnings . || die 'biome found problems'
timeout -k 5 180 node scripts/check-arrows.mjs || die 'the import rules are broken'
# Everything that the tests mount is in here, and is unmounted at the end even when a test was killed.
scratch=$(mktemp -d /tmp/plyfs-run-XXXXXX)
chmod 755 "$scratch"
export TMPDIR=$scratch
sweep() {
  local device point
  while read -r device point; do
    case $point in
      "$scratch"/*)
        [ ! -w "/sys/fs/fuse/connections/${device#*:}/abort" ] || echo 1 >"/sys/fs/fuse/connections/${device#*:}/abort" || true
        note "left mounted: $point"
        umount -l "$point" 2>/dev/null || true
        ;;
    esac
  done < <(awk '{ print $3, $5 }' /proc/self/mountinfo | tac)
  rm -rf --one-file-system "$scratch"
}
trap sweep EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

failed=()
# run NAME CONCURRENCY SECONDS FOLDER...: one node --test over the test files of these folders. The time, and that of one file
# (ms), end what is stuck: they are many times what two CPUs need that have nothing else to do.
run() {
  local name=$1 concurrency=$2 limit=$3 rc=0
  shift 3
  local folders=() files=()
  for folder in "$@"; do
    [ ! -d "dist/test/$folder" ] || folders+=("dist/test/$folder")
  done
  [ ${#folders[@]} -gt 0 ] || return 0
  mapfile -t files < <(find "${folders[@]}" -name '*.test.js' | sort)
  [ ${#files[@]} -gt 0 ] || return 0
  phase "tests: $name, ${#files[@]} files"
  timeout -k 10 "$limit" node --test --test-reporter=spec --test-concurrency="$concurrency" --test-timeout=600000 "${files[@]}" || rc=$?
  [ "$rc" -eq 0 ] || failed+=("$name (exit $rc)")
}

all=()
for folder in dist/test/*/; do
  folder=$(basename "$folder")
  case $folder in support | mounted | oracle) ;; *) all+=("$folder") ;; esac
done
if [ $# -gt 0 ]; then
  for folder in "$@"; do run "$folder" 1 1200 "$folder"; done
else
  run 'without a mount' "$(nproc)" 900 "${all[@]}"
  run 'mounted' 1 1800 mounted
  run 'oracle' 1 900 oracle
fi

phase 'result'
if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
note 'all passed'
