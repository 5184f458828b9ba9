/**
 * What remains of copy-ups after a crash of the machine. The upper's filesystem is shut down by ioctl as in a power cut: what is
 * in its journal stays, everything else is lost. The journal is committed just before, so that the names are there.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { must, processGone } from '../support/exec.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

const FILESYSTEMS: Record<string, ImageKind> = {
  ext4: { size: '256M', mkfs: ['mkfs.ext4', '-q', '-F'] },
  'ext4 that may write names before data': {
    size: '256M',
    mkfs: ['mkfs.ext4', '-q', '-F'],
    options: 'data=writeback,dioread_lock',
  },
  'ext4 without a journal': { size: '256M', mkfs: ['mkfs.ext4', '-q', '-F', '-O', '^has_journal'] },
  xfs: { size: '512M', mkfs: ['mkfs.xfs', '-q', '-f'] },
};

/** Sizes in bytes: small ones, one above what the session thread copies by itself, one with a hole. */
const SIZES = [1, 100, 4096, 10_000, 100_000, 300_000, 3_000_000];
const COPIES = 6;
const HOLE = 200_000;

function makeLower(directory: string): string[] {
  const names: string[] = [];
  for (const size of SIZES) {
    for (let copy = 0; copy < COPIES; copy++) {
      const name = `${size}-${copy}`;
      writeFileSync(`${directory}/${name}`, Buffer.alloc(size, name));
      if (copy === 1) truncateSync(`${directory}/${name}`, size + HOLE);
      names.push(name);
    }
  }
  return names;
}

/**
 * Changes each file in one of three ways (or in all of them), then commits the journal by flushing another file, then "cuts the
 * power".
 */
const CRASH = `import fcntl, os, struct, sys
merged, upperfs, ways, names = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
for i, name in enumerate(names):
    path = merged + '/' + name
    if ways == 'all' or i % 3 == 0: os.chmod(path, 0o600)
    if ways == 'all' or i % 3 == 1: os.utime(path, (1, 1))
    if ways == 'all' or i % 3 == 2:
        with open(path, 'ab') as file: file.write(b'more')
other = os.open(upperfs + '/other', os.O_CREAT | os.O_RDWR)
os.fsync(other)
FS_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587d, 2
fcntl.ioctl(other, FS_IOC_SHUTDOWN, struct.pack('I', NOLOGFLUSH))
`;

/** Files on upper after a crash: their number, and those that lack data of the lower file. */
function survivors(names: readonly string[], lower: string, upper: string) {
  const there = names.filter((name) => existsSync(`${upper}/${name}`));
  const torn = there.filter((name) => {
    const before = readFileSync(`${lower}/${name}`);
    return !readFileSync(`${upper}/${name}`).subarray(0, before.length).equals(before);
  });
  return { there: there.length, torn };
}

async function crash(scratch: Scratch, kind: ImageKind, options: readonly string[]) {
  const image = await makeImage(scratch, kind);
  if (typeof image === 'string') return image;
  try {
    const [upper, work, lower] = [`${image.at}/upper`, `${image.at}/work`, scratch.directory('lower')];
    mkdirSync(upper);
    mkdirSync(work);
    const names = makeLower(lower);
    const mounted = await plyfs.mount({ lower: [lower], upper, work, options }, scratch.directory('merged'));
    try {
      // A metacopy only gets its data when it is written to.
      const ways = options.includes('metacopy=on') ? 'all' : 'one';
      await must('python3', ['-c', CRASH, mounted.path, image.at, ways, ...names], {
        onTimeout: mounted.abort,
      });
    } finally {
      await mounted.unmount();
    }
    // As long as plyfs holds the layers, the filesystem that was shut down lives on.
    await processGone(image.at);
    await image.unmount();
    await image.mount();
    return { all: names.length, ...survivors(names, lower, upper) };
  } finally {
    await image.dispose();
  }
}

describe('copy-ups and a crash', () => {
  for (const [name, kind] of Object.entries(FILESYSTEMS)) {
    for (const options of [['fsync=auto'], ['fsync=auto', 'metacopy=on'], ['fsync=strict']]) {
      it(`${options.join()} on ${name}: no file without its data`, async (t) => {
        const reason = (await plyfs.unavailable()) ?? (await lacking('python3'));
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        try {
          const left = await crash(scratch, kind, options);
          if (typeof left === 'string') return t.skip(left);
          assert.deepEqual(left.torn, []);
          if (!name.includes('without')) assert.equal(left.there, left.all, 'all copy-ups were committed');
        } finally {
          scratch.dispose();
        }
      });
    }
  }

  it('volatile on ext4: files without their data, which shows that this test can fail', async (t) => {
    const reason = (await plyfs.unavailable()) ?? (await lacking('python3'));
    if (reason !== null) return t.skip(reason);
    const scratch = new Scratch();
    try {
      let left: Awaited<ReturnType<typeof crash>> | null = null;
      // A sync(2) by any process, or a slow machine, may have written the data in time.
      for (let i = 0; i < 10 && (left === null || left.torn.length === 0); i++) {
        left = await crash(scratch, FILESYSTEMS['ext4']!, ['volatile']);
        if (typeof left === 'string') return t.skip(left);
      }
      assert.notEqual(left?.torn.length, 0);
    } finally {
      scratch.dispose();
    }
  });
});
