/** `plyfs export` and `plyfs import`: round trips, and exchange with umoci, skopeo and tar. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type ExportResult, exportLayer } from '../../src/tools/oci/export.js';
import { type ImportResult, importLayers } from '../../src/tools/oci/import.js';
import { kernel } from '../support/drivers.js';
import { Scratch } from '../support/scratch.js';
import { difference, type Snapshot, snapshot } from '../support/snapshot.js';
import { missingTools } from '../support/table.js';
import { cannotMount, changed, type Dirs, shell, stackDirs, tool, toolJson } from './support.js';

const LOWER =
  'mkdir -p a gone/x keep; echo l > a/f; echo l > a/g; echo l > gone/x/y; echo old > keep/old; echo one > one';
/** Everything that a layer can contain. */
const CHANGES = `
rm one; rm -r gone; rm -r keep; mkdir keep; echo new > keep/new; echo more >> a/f
echo hard > h1; ln h1 h2; ln -s ../nowhere sym; mkfifo fifo; mknod tty c 5 1; mknod disk b 8 0
truncate -s 8M sparse; printf end >> sparse; touch -d '1999-12-31 23:59:59.123456789' old; touch -d '1960-01-01' older
printf x > "$(printf 'latin\\351')"; printf x > 'grün'; printf x > "$(printf 'new\\nline')"
mkdir -p "$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))"; printf l > "$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))/f"
cp /bin/true ping; setcap cap_net_raw+ep ping; chmod 4755 h1; chmod 0 older; chmod 1777 keep
touch acl; setfacl -m u:7:rw acl; setfacl -d -m u:7:rwx a
setfattr -n user.bin -v 0x00ff3d0a acl; setfattr -n trusted.own -v t acl; setfattr -n trusted.overlay.nested -v n acl
chown 12:34 fifo; chown 3000000:3000001 old; chown -h 5:6 sym
touch -d 2001-01-01 a keep .`;
/** Whole seconds: some tools round times, others truncate them. */
const SETTLE = 'find . -newermt 2020-01-01 -exec touch -h -d @1000000000 {} +';
/** What GNU tar's own format can't store. */
const PAX_ONLY =
  / (user|trusted|security)\.[^=]+="(?:[^"\\]|\\.)*"| acl=\S+| default=\S+|(?<=mtime=-?\d+)\.\d+/g;
const TOOLS = ['setcap', 'setfacl', 'setfattr', 'tar'];

/** A layer as it is, except for what no tar stores: origin, impure and the like, and sockets. */
function essence(directory: string): Snapshot {
  const lines = snapshot(directory, { now: Number.MAX_SAFE_INTEGER, view: 'layer' });
  for (const [path, line] of Object.entries(lines)) {
    lines[path] = line.replace(/ origin(?= |$)| trusted\.overlay\.(impure|uuid)="[^"]*"| uuid(?= |$)/g, '');
  }
  return lines;
}

describe('plyfs export and import', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  let dirs: Dirs;
  let file = 0;
  before(async () => {
    reason = await cannotMount();
    const missing = await missingTools(TOOLS);
    if (missing.length > 0) reason ??= `not installed: ${missing.join(', ')}`;
    if (reason !== null) return;
    dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    await changed(dirs, CHANGES);
  });
  after(() => scratch.dispose());
  const fresh = (name: string): string => `${scratch.path}/${file++}-${name}`;

  it('returns the same layer', async (t) => {
    if (reason !== null) return t.skip(reason);
    for (const compression of ['gzip', 'none'] as const) {
      const [tar, back] = [fresh('layer.tar'), fresh('back')];
      const exported = await toolJson<ExportResult>([
        'export',
        dirs.upper,
        '-o',
        tar,
        '--compression',
        compression,
      ]);
      assert.equal(exported.digest, `sha256:${(await shell(`sha256sum ${tar}`)).slice(0, 64)}`);
      const unzip = compression === 'gzip' ? 'zcat' : 'cat';
      assert.equal(exported.diffId, `sha256:${(await shell(`${unzip} ${tar} | sha256sum`)).slice(0, 64)}`);
      const args = [
        'import',
        tar,
        back,
        '--devices',
        '--digest',
        exported.digest,
        '--diff-id',
        exported.diffId,
      ];
      const imported = await toolJson<ImportResult>(args);
      assert.deepEqual(imported.layers[0]!.warnings, []);
      assert.equal(imported.lowerdir, back);
      assert.deepEqual(difference(essence(dirs.upper), essence(back)), []);
      assert.ok(Number(await shell(`du -k ${back}/sparse | cut -f1`)) < 100, 'holes come back');
    }
  });

  it('produces the same bytes again, from a copy and through a pipe, and no time later than requested', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [one, two, copy] = [fresh('1'), fresh('2'), fresh('copy')];
    await shell(
      `cp -a ${dirs.upper} ${copy}; for i in z y x; do touch ${copy}/$i; done; rm ${copy}/[xyz]; touch -r ${dirs.upper} ${copy}`,
    );
    await exportLayer({ layer: dirs.upper, output: one });
    await exportLayer({ layer: copy, output: two });
    await shell(`cmp ${one} ${two}`);
    const sum = await shell(
      `${process.execPath} ${process.cwd()}/dist/src/cli/main.js export ${dirs.upper} | sha256sum`,
    );
    assert.equal(sum, await shell(`sha256sum < ${one}`));
    const capped = fresh('capped');
    await tool(['export', dirs.upper, '-o', capped], { env: { SOURCE_DATE_EPOCH: '978307200' } });
    assert.equal(await shell(`tar -tvzf ${capped} | grep -c ' 20[1-9]' || true`), '0\n');
  });

  it('is read by GNU tar, and reads what GNU tar writes', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [tar, there, back] = [fresh('l.tar'), fresh('there'), fresh('back')];
    await exportLayer({ layer: dirs.upper, output: tar });
    await shell(`mkdir ${there}; tar -C ${there} --xattrs --xattrs-include='*' --numeric-owner -xpzf ${tar}`);
    const lines = essence(there);
    const upper = essence(dirs.upper);
    for (const [path, line] of Object.entries(upper)) {
      const isMark = line === 'whiteout' || / trusted\.overlay\./.test(line);
      if (!isMark) assert.equal(lines[path], line, path);
    }
    assert.ok(lines['.wh.one'] !== undefined && lines['keep/.wh..wh..opq'] !== undefined);
    for (const format of ['gnu', 'posix']) {
      const plain = fresh('plain');
      await shell(
        `mkdir ${plain}; cd ${plain}; ${CHANGES.replace(/^rm.*$/m, 'mkdir a keep')}; rm tty disk; setfattr -x trusted.overlay.nested acl`,
      );
      const flags = format === 'posix' ? '--xattrs --sparse' : '';
      await shell(`cd ${plain}; tar --format=${format} ${flags} -cf ${tar}.${format} .`);
      await importLayers({ source: `${tar}.${format}`, directory: `${back}.${format}` });
      const keep = (all: Snapshot): Snapshot =>
        Object.fromEntries(
          Object.entries(all).map(([path, line]) => [
            path,
            format === 'posix' ? line : line.replace(PAX_ONLY, ''),
          ]),
        );
      assert.deepEqual(difference(keep(essence(plain)), keep(essence(`${back}.${format}`))), [], format);
    }
  });

  it('writes renamed directories and metacopies in full when the lowers are given', async (t) => {
    if (reason !== null) return t.skip(reason);
    const own = stackDirs(scratch);
    await shell(`cd ${own.lower}\n${LOWER}`);
    await changed(own, 'mv a b; mv gone/x y; chmod 600 one', { options: ['metacopy=on', 'redirect_dir=on'] });
    const tar = fresh('layer.tar');
    const refused = await tool(['export', own.upper, '-o', tar]);
    assert.match(
      refused.stderr,
      /^plyfs: 'b' has a part on a lower layer, .*; name the lowers with --lower\.\n$/,
    );
    assert.deepEqual(
      readdirSync(scratch.path).filter((name) => name.includes('tmp')),
      [],
    );
    await exportLayer({ layer: own.upper, output: tar, lower: [own.lower] });
    const back = fresh('back');
    await importLayers({ source: tar, directory: back });
    const list = async (lower: string[], options: string[]): Promise<string> => {
      const mounted = await kernel.mount({ lower, upper: null, work: null, options }, own.merged);
      try {
        return await shell(
          `cd ${own.merged}; find . -mindepth 1 -printf '%P %y %m %s\\n' | grep -v ' d ' | sort; cat one b/f y/y`,
        );
      } finally {
        await mounted.unmount();
      }
    };
    assert.equal(
      await list([back, own.lower], []),
      await list([own.upper, own.lower], ['metacopy=on', 'redirect_dir=on']),
    );
  });

  /** An OCI layout made by umoci from two layers. */
  async function umociImage(t: TestContext): Promise<{ layout: string; rootfs: string } | null> {
    const missing = await missingTools(['umoci', 'skopeo']);
    if (reason !== null || missing.length > 0) {
      t.skip(reason ?? `not installed: ${missing.join(', ')}`);
      return null;
    }
    const [layout, bundle] = [fresh('oci'), fresh('bundle')];
    await shell(`umoci init --layout ${layout}; umoci new --image ${layout}:t
umoci unpack --image ${layout}:t ${bundle}; cd ${bundle}/rootfs; ${LOWER}; ${SETTLE}; umoci repack --image ${layout}:t ${bundle}; rm -rf ${bundle}
umoci unpack --image ${layout}:t ${bundle}; cd ${bundle}/rootfs; rm one; rm -r gone; mkdir gone; echo n > gone/n; ln a/f a/h; ln -s f a/s; chown 1:2 a/g; setfattr -n user.k -v v a/g; ${SETTLE}
umoci repack --image ${layout}:t ${bundle}`);
    return { layout, rootfs: `${bundle}/rootfs` };
  }

  async function mergedOf(lowerdir: string): Promise<Snapshot> {
    const mounted = await kernel.mount(
      {
        lower: [...lowerdir.split(':'), dirs.merged].slice(0, -1).concat(scratch.directory('empty')),
        upper: null,
        work: null,
      },
      dirs.merged,
    );
    try {
      return plain(dirs.merged);
    } finally {
      await mounted.unmount();
    }
  }

  /** Everything but the root itself, which unpacking tools treat differently. */
  function plain(directory: string): Snapshot {
    const lines = snapshot(directory, { now: Number.MAX_SAFE_INTEGER, view: 'layer' });
    delete lines['.'];
    return lines;
  }

  it('imports an image of umoci as layout, OCI archive and docker archive, sharing layers', async (t) => {
    const image = await umociImage(t);
    if (image === null) return;
    const { layout, rootfs } = image;
    const store = fresh('store');
    const first = await toolJson<ImportResult>(['import', `${layout}:t`, store]);
    assert.deepEqual([first.kind, first.name, first.layers.length], ['image', 't', 2]);
    assert.deepEqual(difference(plain(rootfs), await mergedOf(first.lowerdir)), []);
    const [docker, archive] = [fresh('docker.tar'), fresh('archive.tar')];
    await shell(
      `skopeo --insecure-policy copy oci:${layout}:t docker-archive:${docker}:some/name:v1; skopeo --insecure-policy copy oci:${layout}:t oci-archive:${archive}:t; gzip -k ${docker}`,
    );
    const sources = [
      { source: docker },
      { source: docker, tag: 'v1' },
      { source: archive },
      { source: `${docker}.gz` },
    ];
    for (const source of sources) {
      const again = await importLayers({ ...source, directory: store });
      assert.ok(
        again.layers.every(({ reused }) => reused),
        source.source,
      );
      assert.equal(again.lowerdir, first.lowerdir);
    }
    const other = await importLayers({ source: docker, directory: fresh('store') });
    assert.deepEqual(difference(plain(rootfs), await mergedOf(other.lowerdir)), []);
    const bad = await tool(['import', `${layout}:none`, store]);
    assert.match(bad.stderr, /^plyfs: the image has no tag 'none'; it has: t\.\n$/);
    await shell(`f=$(ls -S ${layout}/blobs/sha256/* | head -n 1); printf x >> $f`);
    const forged = await tool(['import', layout, fresh('store')]);
    assert.match(
      forged.stderr,
      /^plyfs: (the layer is refused: its (digest|diffID) is|the archive is broken|the image is broken)/,
    );
  });

  it('exports a layer that umoci adds to an image and unpacks', async (t) => {
    const image = await umociImage(t);
    if (image === null) return;
    const { layout } = image;
    const below = fresh('below');
    await shell(`umoci unpack --image ${layout}:t ${below}`);
    const rootfs = `${below}/rootfs`;
    const own = stackDirs(scratch);
    await changed(
      { ...own, lower: rootfs },
      'rm a/g; rm -r gone; mkdir gone; echo x > gone/x; echo y >> a/f; echo z > z',
    );
    const tar = fresh('layer.tar');
    await toolJson<ExportResult>(['export', own.upper, '-o', tar, '--compression', 'none']);
    const bundle = fresh('bundle');
    await shell(
      `umoci raw add-layer --image ${layout}:t ${tar}; umoci unpack --image ${layout}:t ${bundle}; skopeo --insecure-policy copy oci:${layout}:t dir:${fresh('dir')}`,
    );
    const mounted = await kernel.mount({ lower: [rootfs], upper: own.upper, work: own.work }, own.merged);
    try {
      // umoci gives the names of a file separate inodes if they come from different layers.
      const names = (directory: string): Snapshot =>
        Object.fromEntries(
          Object.entries(plain(directory)).map(([p, line]) => [p, line.replace(/ nlink=\d+| same=\S+/g, '')]),
        );
      assert.deepEqual(difference(names(`${bundle}/rootfs`), names(own.merged)), []);
    } finally {
      await mounted.unmount();
    }
  });
});
