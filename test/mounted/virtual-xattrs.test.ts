/** `user.plyfs.*`: information about an object on a live mount, given only when it is requested by name. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';
import { cannotMount, changed, shell, stackDirs } from '../tools/support.js';

describe('virtual xattrs', () => {
  const scratch = new Scratch();
  const dirs = stackDirs(scratch);
  const get = (path: string, ...names: string[]): Promise<string> =>
    shell(
      names
        .map(
          (name) =>
            `getfattr --absolute-names --only-values -n user.plyfs.${name} '${dirs.merged}/${path}' 2>&1 | sed 's/.*: //'; echo`,
        )
        .join('\n'),
    );
  const facts = (path: string): Promise<string> => get(path, 'layer', 'kind', 'layers', 'marks');
  let reason: string | null = null;
  before(async () => {
    reason = process.geteuid!() === 0 ? await cannotMount() : 'other users are tried: needs root';
    reason ??= await lacking('python3', 'setpriv');
    if (reason !== null) return;
    await shell(
      `chmod 755 ${scratch.directory('.')}
      cd ${dirs.lower}; mkdir d e; echo low > d/f; echo low > plain; echo low > m; echo low > e/x; setfattr -n user.plyfs.layer -v stored plain`,
    );
  });
  after(() => scratch.dispose());
  const mounted = (script: string, body: () => Promise<void>): Promise<void> =>
    changed(dirs, script, { driver: plyfs, options: ['metacopy=on,redirect_dir=on'], whileMounted: body });

  it('shows layers, kind and marks, and to root the paths', async (t) => {
    if (reason !== null) return t.skip(reason);
    await mounted('echo up >> d/f; chmod 600 m; rm -r e; mkdir e; echo n > e/n', async () => {
      assert.equal(await facts('plain'), '1\nlower\n1\nNo such attribute\n\n');
      assert.equal(await facts('d'), '0\nupper\n0,1\norigin\n');
      assert.equal(await facts('d/f'), '0\nupper\n0\norigin\n');
      assert.equal(await facts('m'), '0\nupper\n0,1\nmetacopy,origin\n');
      assert.equal(await facts('e'), '0\nupper\n0\nopaque\n');
      assert.equal(await get('plain', 'directory', 'path'), `${dirs.lower}\n${dirs.lower}/plain\n`);
      assert.equal(await get('d/f', 'path'), `${dirs.upper}/d/f\n`);
      assert.match(await get('plain', 'nonsense'), /^No such attribute/);
    });
  });

  it('shows the path of an object nested deeper than a call stack allows', async (t) => {
    if (reason !== null) return t.skip(reason);
    const deep = `import os
for _ in range(12000): os.mkdir("d"); os.chdir("d")`;
    const length = `import os
for _ in range(12000): os.chdir("d")
print(len(os.getxattr(".","user.plyfs.path")))`;
    await shell(`mkdir ${dirs.lower}/deep; cd ${dirs.lower}/deep; python3 -c '${deep}'`);
    await mounted('true', async () => {
      const said = await shell(`cd ${dirs.merged}/deep; python3 -c '${length}'`);
      assert.equal(said, `${dirs.lower.length + '/deep'.length + 2 * 12000}\n`);
    });
    await shell(`rm -rf ${dirs.lower}/deep`);
  });

  it('is never listed, so that copies do not have it, and nothing can be stored there', async (t) => {
    if (reason !== null) return t.skip(reason);
    await mounted('true', async () => {
      const listed = await shell(`cd ${dirs.merged}; getfattr -R -d -m - . ; cp -a plain /dev/shm/plyfs-v$$
        getfattr -d -m - /dev/shm/plyfs-v$$; rm /dev/shm/plyfs-v$$`);
      assert.doesNotMatch(listed, /plyfs/);
      for (const change of ['-n user.plyfs.layer -v 7', '-x user.plyfs.layer']) {
        const said = await shell(`setfattr ${change} ${dirs.merged}/plain 2>&1 || true`);
        assert.match(said, /Operation not supported/);
      }
    });
  });

  it('shows host paths to no other user, and to nobody in another root or mount namespace', async (t) => {
    if (reason !== null) return t.skip(reason);
    await mounted('true', async () => {
      const ask = (name: string): string =>
        `getfattr --absolute-names --only-values -n user.plyfs.${name} ${dirs.merged}/plain 2>&1 || true`;
      const as = (prefix: string, name: string): Promise<string> => shell(`${prefix} sh -c '${ask(name)}'`);
      for (const prefix of ['setpriv --reuid=4711 --clear-groups', 'unshare -m']) {
        assert.equal(await as(prefix, 'layer'), '1', prefix);
        assert.match(await as(prefix, 'path'), /Permission denied/, prefix);
      }
      // A chroot has another root directory in the same mount namespace.
      const inRoot = `import os,sys
os.chroot(sys.argv[1]); os.chdir("/")
print(os.getxattr("/plain","user.plyfs.layer").decode())
try: os.getxattr("/plain","user.plyfs.path"); print("told")
except PermissionError: print("denied")`;
      assert.equal(await shell(`python3 -c '${inRoot}' ${dirs.merged}`), '1\ndenied\n');
    });
  });
});
