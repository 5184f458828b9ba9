/** The named commands and the help, parsed by yargs. */
import { readFileSync } from 'node:fs';
import type { Argv } from 'yargs';
import { escapeValue, splitOptions } from '../overlay/option-text.js';
import { runMount, type Start } from './run-mount.js';
import { type Parsed, text, texts } from './tools/command.js';
import { UsageError } from './usage-error.js';
import { asClause, Complaints, helpWidth, withPlainPaths, YARGS_CWD } from './yargs.js';

const USAGE = `plyfs: a union filesystem with the semantics and on-disk format of the kernel's overlayfs

  plyfs -o lowerdir=A:B,upperdir=U,workdir=W [-f] [-d] [source] mountpoint
  plyfs mount --lower A --lower B --upper U --work W mountpoint
  plyfs umount mountpoint

Working with layers, mounted or not; each has its own --help:

  plyfs diff       what an upper changes against its lowers
  plyfs inspect    why a path looks as it does
  plyfs layers     sizes of layers, and what is wasted in them
  plyfs check      find and repair what is wrong in layers
  plyfs export     a layer as an OCI layer tar
  plyfs import     OCI or Docker layers and images as layer directories
  plyfs run        a command in a throw-away view of this machine
  plyfs merge      several layers as one directory; squash: as one layer
  plyfs stats      live numbers of a mount`;

const MOUNT =
  'Mounts layers, and returns when the mount answers; the server goes on in the background. The first --lower is the topmost. Without --upper and --work the mount is read-only.';

const EPILOGUE = `The first lower directory is the topmost. Without an upper directory the mount is read-only.

-o takes the options of the kernel's overlayfs and of fuse-overlayfs, and besides: ro rw suid nosuid dev nodev
exec noexec atime noatime sync dirsync allow_other default_permissions fsname=NAME max_read=N context="..."
data=cached|passthrough|auto keep_awake=auto|on|off transport=kernel|fuse-native debug.

SIGTERM, SIGINT and SIGHUP unmount. A busy mount stays and says so; a second signal detaches it, and it ends
with its last open file; a third ends it all the same. SIGUSR1 logs statistics.

Exit codes: 0 the mount answers (in the foreground: it was unmounted); 1 it failed, for the reason printed;
2 the command line can't be understood.`;

function version(): string {
  const manifest = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** Options of all forms of mounting, and of no other command. */
function serverOptions(y: Argv): Argv {
  const mine = { global: false } as const;
  return y
    .option('o', {
      ...mine,
      type: 'string',
      array: false,
      describe: 'mount options, comma-separated; may be repeated',
    })
    .option('transport', {
      ...mine,
      choices: ['kernel', 'fuse-native'],
      describe: 'how requests travel: by the protocol of /dev/fuse, or by libfuse 2 through fuse-native',
    })
    .option('f', { ...mine, alias: 'foreground', type: 'boolean', describe: 'stay in the foreground' })
    .option('d', { ...mine, alias: 'debug', type: 'boolean', describe: 'trace each request (implies -f)' })
    .option('log-level', {
      ...mine,
      type: 'string',
      describe: 'trace, debug, info, warn, error or silent',
    })
    .option('log-file', { ...mine, type: 'string', describe: 'append the log to a file, as JSON lines' });
}

function mountOptions(y: Argv): Argv {
  return serverOptions(y)
    .positional('mountpoint', { type: 'string', demandOption: true, describe: 'an existing directory' })
    .option('lower', {
      type: 'string',
      array: true,
      nargs: 1,
      describe: 'lower directory; repeat, topmost first',
    })
    .option('upper', { type: 'string', describe: 'upper directory, where changes go' })
    .option('work', { type: 'string', describe: "work directory, on the upper's filesystem" })
    .option('read-only', { type: 'boolean', describe: 'mount read-only' })
    .option('source', { type: 'string', describe: 'shown in the mount table' })
    .option('data', { choices: ['cached', 'passthrough', 'auto'], describe: 'how file data travels' });
}

const LOWERS = /^(lowerdir|lowerdir\+|datadir\+)$/;

/** `--lower` and friends as option strings. */
function optionStrings(parsed: Parsed): string[] {
  const one = (key: string, option: string): string[] => {
    const value = text(parsed[option]);
    return value === null ? [] : [`${key}=${escapeValue(value)}`];
  };
  const lowers = texts(parsed['lower']).map(escapeValue);
  const typed = texts(parsed['o']);
  if (lowers.length > 0 && typed.flatMap(splitOptions).some(({ name }) => LOWERS.test(name)))
    throw new UsageError('lower directories are given by --lower and by -o; give all one way.');
  return [
    ...(lowers.length > 0 ? [`lowerdir=${lowers.join(':')}`] : []),
    ...one('upperdir', 'upper'),
    ...one('workdir', 'work'),
    ...one('data', 'data'),
    ...one('transport', 'transport'),
    ...(parsed['readOnly'] === true ? ['ro'] : []),
    ...typed,
  ];
}

async function mountCommand(parsed: Parsed, start: Start): Promise<number> {
  return await runMount(
    {
      options: optionStrings(parsed),
      // The kernel takes no empty one.
      source: text(parsed['source']) || null,
      mountpoint: String(parsed['mountpoint']),
      foreground: parsed['foreground'] === true,
      debug: parsed['debug'] === true,
      logLevel: text(parsed['logLevel']),
      logFile: text(parsed['logFile']),
    },
    start,
  );
}

async function umountCommand(parsed: Parsed): Promise<number> {
  const { umount } = await import('./umount.js');
  await umount(String(parsed['mountpoint']), parsed['lazy'] === true);
  return 0;
}

/** An error message of yargs in our style. */
function sentence(message: string): string {
  if (message.startsWith('Not enough non-option')) return "no mount point is given; see 'plyfs --help'.";
  return `${asClause(message)}; see 'plyfs --help'.`;
}

/** Runs a named command, or prints help or version. Resolves to the exit code. */
export async function runCommand(start: Start): Promise<number> {
  const { default: yargs } = await import('yargs');
  let code = 0;
  const complaints = new Complaints();
  const parser = serverOptions(yargs(withPlainPaths(start.args), YARGS_CWD) as Argv)
    .scriptName('plyfs')
    .locale('en')
    .usage(USAGE)
    .command('mount <mountpoint>', MOUNT, mountOptions, async (parsed) => {
      if (complaints.worst === null) code = await mountCommand(parsed, start);
    })
    .command(
      ['umount <mountpoint>', 'unmount'],
      'Unmounts a mount of plyfs, whoever made it; umount(8) and fusermount3 -u do as well.',
      (y) =>
        y
          .positional('mountpoint', { type: 'string', demandOption: true, describe: 'where it is mounted' })
          .option('lazy', { alias: 'l', type: 'boolean', describe: 'detach it even when it is busy' }),
      async (parsed) => {
        if (complaints.worst === null) code = await umountCommand(parsed);
      },
    )
    .example('plyfs -o lowerdir=/l1:/l2,upperdir=/u,workdir=/w /merged', 'mount, and return when it answers')
    .example('plyfs mount --lower /rootfs --upper /u --work /w /merged', 'the same in other words')
    .example('plyfs -f -o lowerdir=/l1:/l2 /merged', 'read-only, in the foreground')
    .example('mount -t fuse.plyfs plyfs /merged -o lowerdir=/l1:/l2', 'by mount(8); works in fstab too')
    .example('plyfs umount /merged', 'unmount; umount(8) does as well')
    .epilogue(EPILOGUE)
    .version('version', version())
    .alias('version', 'V')
    .help()
    .alias('help', 'h')
    .strict()
    .wrap(helpWidth())
    .exitProcess(false)
    .fail(complaints.add);
  await parser.parseAsync();
  if (complaints.worst !== null) throw new UsageError(sentence(complaints.worst));
  return code;
}
