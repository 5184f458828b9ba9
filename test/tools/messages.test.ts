/** What the tools say to impossible requests: one sentence, and an exit code that is not 0. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, describe, it } from 'node:test';
import { type RunResult, sh } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { CLI, shell, tool } from './support.js';

describe('mistakes on the command line of a tool', () => {
  const scratch = new Scratch();
  after(() => scratch.dispose());
  const home = scratch.directory('home');
  for (const dir of ['l', 'image']) mkdirSync(`${home}/${dir}`);
  writeFileSync(`${home}/file`, '');
  writeFileSync(`${home}/image/c`, '{"rootfs":{"diff_ids":[]}}');
  writeFileSync(
    `${home}/image/manifest.json`,
    JSON.stringify(['a\u001b[31m:1', 'b:1'].map((tag) => ({ RepoTags: [tag], Config: 'c', Layers: [] }))),
  );

  /** Arguments, exit code, message. Paths are relative to a directory that has `l`, `file` and `image`. */
  const CASES: readonly (readonly [string, number, RegExp])[] = [
    ['diff nope', 1, /can't use 'nope': it does not exist/],
    ['diff', 2, /an argument is missing: plyfs diff <upper>; see/],
    ['diff l --lower', 2, /--lower needs a value; see 'plyfs diff --help'/],
    ['diff l', 1, /'l' is an empty directory that is not marked as an upper, and nothing is mounted there/],
    ['diff l --lower nope', 1, /lowerdir '\S*nope' can't be used: it does not exist/],
    ['inspect l/x', 1, /is on no overlay mount/],
    ['inspect nope/x/y', 1, /is on no overlay mount/],
    ['layers', 2, /name a mount point, or layers/],
    ['layers l', 1, /'l' is no overlay mount/],
    ['layers l --lower l', 2, /not both/],
    ['layers --lower l --top many', 2, /--top takes a whole number, not 'many'/],
    ['layers --lower l --html nope/page.html', 1, /can't write 'nope\/page.html'/],
    ['check', 16, /name a mount point, or layers/],
    ['check --lower nope', 8, /it does not exist/],
    ['check --lower nope --repair', 8, /can't use 'nope': it does not exist/],
    ['merge out', 2, /name a mount point, or layers/],
    ['squash out', 2, /an argument is missing/],
    ['export nope -o x', 1, /it does not exist/],
    ['export l --json', 2, /--json needs a file for the tar/],
    ['export l -o nope/x', 1, /can't write 'nope\/x'/],
    [
      'export l -o x --compression bzip2',
      2,
      /--compression takes one of "gzip", "zstd", "none", not "bzip2"/,
    ],
    ['export l -o file/x', 1, /can't write 'file\/x': .*not a directory/],
    ['export l -o x --max-time soon', 2, /--max-time takes seconds since 1970, not 'soon'/],
    ['import nope d', 1, /can't use 'nope': it does not exist/],
    ['import file/x d', 1, /can't use 'file\/x': .*not a directory/],
    ['import --layer l d', 1, /'l' is a directory; a layer is a tar/],
    ['import file file/x', 1, /can't open the directory '\S*file': .*not a directory/],
    ['import image d', 1, /2 images; choose one .* Tags: a\\x1b\[31m:1, b:1\./],
    ['import image:nope d', 1, /the image has no tag 'nope'; it has: a\\x1b\[31m:1, b:1\./],
    ['import image:b:1 file', 1, /can't create the store '\S*file'/],
    ['import l d --max-entries -1', 2, /--max-entries takes a whole number/],
    ['import l d --max-size much', 2, /--max-size takes a number with K, M, G or T behind it, not 'much'/],
    ['stats nope', 1, /it does not exist/],
    ['run', 125, /no command is given/],
    ['run true', 125, /unknown argument: true; write the command behind '--'/],
    ['run --lower nope -- true', 125, /can't use the lower 'nope': it does not exist/],
    ['run --scratch nope -- true', 125, /can't use the scratch directory 'nope': it does not exist/],
    ['run --read-only --commit -- true', 125, /mutually exclusive/],
  ];

  it('output to a full disk', async () => {
    const command = `'${process.execPath}' '${CLI}'`;
    const run = (args: string): Promise<RunResult> => sh(`${command} ${args}`, { cwd: home });
    const full = await run('merge out --lower l >/dev/full');
    assert.equal(full.stderr, "plyfs: can't write the output: no space is left.\n");
    assert.equal(full.code, 1);
    // A message that can't be written stops nothing, and does not change the exit code.
    assert.equal((await run('merge out2 --lower l 2>/dev/full')).stdout, '0 objects, 0 B\n');
    assert.equal((await run('merge nope --lower l -x 2>/dev/full')).code, 2);
  });

  for (const [args, code, said] of CASES) {
    it(`plyfs ${args}`, async () => {
      const result = await tool(args.split(' '), { cwd: home });
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, said);
      assert.match(result.stderr, /^plyfs: [^\n]+\.\n$/);
      assert.equal(result.stdout, '');
    });
  }

  it('says so where the working directory is gone', async () => {
    const said = await shell(`cd ${scratch.path}; mkdir gone; cd gone; rmdir ../gone
      for o in 'diff u --lower l' 'check --lower l' 'mount --lower l m'; do ${process.execPath} ${CLI} $o 2>&1 || true; done`);
    assert.doesNotMatch(said, /internal error/);
    assert.equal(said.match(/does not exist/g)?.length, 3, said);
  });
});

/** Help is wrapped once, at the width of the help, and not at the line ends of the source. */
it('help of the tools has their descriptions, as paragraphs', async () => {
  for (const [command, text] of [
    ['run', /^plyfs run \[options\] -- command\.\.\.\n\nRuns a command over this machine's root/],
    ['import', /^plyfs import <source> <directory>\n\n(\S.{80,109}\n){2}/],
    ['merge', /Positionals:\n +output .*\n +mount /],
  ] as const) {
    const { code, stdout } = await tool([command, '--help']);
    assert.equal(code, 0);
    assert.match(stdout, text);
  }
});
