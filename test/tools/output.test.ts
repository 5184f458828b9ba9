/** Outputs of the tools that are no new files: devices, links, fifos, places inside the input. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { OutputFile } from '../../src/tools/output.js';
import { isRoot, Scratch } from '../support/scratch.js';
import { CLI, shell, tool } from './support.js';

const scratch = new Scratch();
after(() => scratch.dispose());

function layer(name: string): string {
  const path = scratch.directory(name);
  mkdirSync(`${path}/sub`);
  writeFileSync(`${path}/file`, 'text');
  return path;
}

describe('plyfs export -o', () => {
  it('writes into a device, and does not replace it by a file', async (t) => {
    if (!isRoot) return t.skip('makes a device node as root');
    const path = layer('device');
    await shell(`mknod ${scratch.path}/null c 1 3; mknod ${scratch.path}/full c 1 7`);
    const result = await tool(['export', path, '-o', `${scratch.path}/null`]);
    assert.equal(result.code, 0, result.stderr);
    const full = await tool(['export', path, '-o', `${scratch.path}/full`]);
    assert.equal(full.code, 1);
    assert.match(full.stderr, /no space is left/);
    assert.equal(
      await shell(`cd ${scratch.path}; stat -c %F null full`),
      'character special file\n'.repeat(2),
    );
  });

  it('writes through a symlink and into a fifo', async () => {
    const path = layer('through');
    const there =
      await shell(`cd ${scratch.path}; mkdir links; cd links; : > target; ln -s target link; ln -s fresh dangling; mkfifo fifo
      ( tar -tf fifo > listed ) & ${process.execPath} ${CLI} export ${path} --compression none -o fifo >/dev/null; wait; cat listed
      for o in link dangling; do ${process.execPath} ${CLI} export ${path} --compression none -o $o >/dev/null; done
      stat -c '%n %F' link dangling fifo; tar -tf target; tar -tf fresh; ls`);
    const names = './\nfile\nsub/\n';
    assert.equal(
      there,
      `${names}link symbolic link\ndangling symbolic link\nfifo fifo\n${names}${names}dangling\nfifo\nfresh\nlink\nlisted\ntarget\n`,
    );
  });
});

describe('an output file', () => {
  it('that is abandoned at once is not left behind', async () => {
    const directory = scratch.directory('given-up');
    const file = new OutputFile(`${directory}/out`);
    const stream = file.stream();
    stream.destroy();
    file.discard();
    await once(stream, 'close');
    assert.deepEqual(readdirSync(directory), []);
  });
});

describe('an output inside the input', () => {
  for (const command of [
    'merge sub/out --lower .',
    'squash sub/out .',
    'export . -o sub/out',
    'export . -o out',
  ]) {
    it(`plyfs ${command}`, async () => {
      const path = layer(command.replace(/\W/g, '-'));
      const result = await tool(command.split(' '), { cwd: path });
      assert.equal(result.code, 1);
      assert.match(result.stderr, /^plyfs: '\S*out' lies in a layer that is read[^\n]*\.\n$/);
      assert.deepEqual(readdirSync(path).sort(), ['file', 'sub']);
      assert.deepEqual(readdirSync(`${path}/sub`), []);
      assert.equal(readFileSync(`${path}/file`, 'utf8'), 'text');
    });
  }
});

it('plyfs export through a symlink into its input', async () => {
  const path = layer('by-symlink');
  const outside = scratch.directory('links');
  for (const target of ['file', 'fresh']) {
    symlinkSync(`${path}/${target}`, `${outside}/${target}`);
    const result = await tool(['export', path, '-o', `${outside}/${target}`]);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /lies in a layer that is read/);
  }
  assert.deepEqual(readdirSync(path).sort(), ['file', 'sub']);
  assert.equal(readFileSync(`${path}/file`, 'utf8'), 'text');
});

it('plyfs export through a relative symlink into its input, by a path whose names do not show it', async () => {
  const path = layer('by-relative-symlink');
  const home = scratch.directory('h\u00fct');
  const said =
    await shell(`cd ${home}; mkdir -p ${path}/sub/inner; ln -s ${path}/sub/inner way; ln -s ../fresh way/link
    ${process.execPath} ${CLI} export ${path} -o way/link 2>&1 || echo $?; ls ${path}/sub`);
  assert.match(said, /lies in a layer that is read[^\n]*\n1\ninner\n$/);
});

it('relative paths in a directory whose name is not UTF-8', async () => {
  const said =
    await shell(`cd ${scratch.path}; mkdir $(printf 'caf\\351'); cd caf*; mkdir l u; echo a > l/f; echo b > u/f
    for o in 'diff u --lower l' 'layers --upper u --lower l' 'merge out --upper u --lower l' 'check --upper u --lower l'; do
      ${process.execPath} ${CLI} $o >&2; done; cat out/f`);
  assert.equal(said, 'b\n');
});
