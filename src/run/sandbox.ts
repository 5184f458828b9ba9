/** The namespaces in which `plyfs run` starts a command, made by unshare(1) of util-linux: a Node process can't make them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { UserError } from '../overlay/user-error.js';

/** A command and its environment. */
export interface Sandbox {
  /** The merged view, which becomes the root. */
  readonly root: string;
  readonly cwd: string;
  readonly command: readonly string[];
  /** Share the machine's network; without it there is none. */
  readonly net: boolean;
  /** Files of the machine that are mounted over files of the root, such as a container's /etc/resolv.conf. */
  readonly files: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly stdio: 'inherit' | 'pipe';
}

/**
 * Run as the first process of the new namespaces: `$1` the root, `$2` the working directory, `$3` how many files
 * follow, then the files, then the command. Everything mounted here ends with the namespace. /dev has the harmless
 * nodes only, so that nothing in the view reaches a disk of the machine. The shell stays as the first process of the process
 * namespace, because that one ignores signals it does not handle, and a command should not.
 */
const SETUP = `
set -e
root=$1 cwd=$2 files=$3
shift 3
has() { [ -d "$root/$1" ] && [ ! -L "$root/$1" ]; }
if has proc; then mount -t proc proc "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"; fi
if has sys; then mount --rbind /sys "$root/sys" && mount -o remount,bind,ro "$root/sys" 2>/dev/null || :; fi
if has dev; then
  mount -t tmpfs -o mode=0755 plyfs-dev "$root/dev"
  for node in null zero full random urandom tty; do
    : > "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 plyfs-shm "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  for n in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/\${n%%:*}" "$root/dev/\${n##*:}"; done
fi
if has run; then
  mount -t tmpfs -o mode=0755 plyfs-run "$root/run"
  if [ -d /run/systemd/resolve ]; then
    mkdir -p "$root/run/systemd/resolve"
    mount --bind /run/systemd/resolve "$root/run/systemd/resolve"
  fi
fi
while [ "$files" -gt 0 ]; do
  if [ -f "$root$1" ] && [ ! -L "$root$1" ]; then
    mount --bind "$1" "$root$1" && mount -o remount,bind,ro "$root$1" 2>/dev/null || :
  fi
  shift
  files=$((files - 1))
done
[ -d "$root$cwd" ] || cwd=/
set +e
unshare --root="$root" --wd="$cwd" -- "$@"
exit $?
`;

function words(sandbox: Sandbox): string[] {
  const { root, cwd, files, command, net } = sandbox;
  const isRoot = process.geteuid!() === 0;
  return [
    ...(isRoot ? [] : ['--user', '--map-root-user']),
    ...['--mount', '--propagation=private', '--pid', '--fork', '--kill-child', '--ipc', '--uts'],
    ...(net ? [] : ['--net']),
    ...['--', '/bin/sh', '-c', SETUP, 'plyfs-run', root, cwd, String(files.length), ...files, ...command],
  ];
}

/** Starts the command. */
export function startSandbox(sandbox: Sandbox): ChildProcess {
  return spawn('unshare', words(sandbox), { cwd: '/', env: sandbox.env, stdio: sandbox.stdio });
}

/** Resolves to a shell's exit code: 128 and the signal's number for a command that a signal ended. */
export function exitCodeOf(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.on('error', (error) => {
      const why =
        'code' in error && error.code === 'ENOENT'
          ? 'unshare(1) of util-linux is not installed'
          : error.message;
      reject(new UserError(`can't start the command: ${why}.`));
    });
    child.on('close', (code, signal) =>
      resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal]),
    );
  });
}
