/** The drop-in command line, and the mount options that don't concern the overlay. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDropIn } from '../../src/cli/drop-in.js';
import { UsageError } from '../../src/cli/usage-error.js';
import { UserError } from '../../src/overlay/user-error.js';
import { parseMountOptions } from '../../src/session/mount-options.js';
import * as sys from '../../src/sys/index.js';

describe('the drop-in form', () => {
  const forms: Record<string, readonly string[]> = {
    'options first': ['-o', 'lowerdir=a:b', 'src', 'mnt'],
    'options last': ['src', 'mnt', '-o', 'lowerdir=a:b'],
    'options between': ['src', '-o', 'lowerdir=a:b', 'mnt'],
    'options in one word': ['-olowerdir=a:b', 'src', 'mnt'],
    'after a double dash': ['-o', 'lowerdir=a:b', '--', 'src', 'mnt'],
  };
  for (const [name, words] of Object.entries(forms)) {
    it(`takes ${name}`, () => {
      const line = parseDropIn(words);
      assert.deepEqual(line.options, ['lowerdir=a:b']);
      assert.deepEqual(line.positionals, ['src', 'mnt']);
      assert.equal(line.foreground, false);
    });
  }

  it('takes several -o, combined short options, and the words of mount(8)', () => {
    const line = parseDropIn(['-fd', '-o', 'lowerdir=a', '-n', '-s', '-r', 'mnt', '-o', 'context="a,b"']);
    assert.deepEqual(line.options, ['lowerdir=a', 'ro', 'context="a,b"']);
    assert.deepEqual([line.foreground, line.debug], [true, true]);
  });

  it('takes log options with and without an equals sign', () => {
    const line = parseDropIn(['--log-level=debug', '--log-file', '/x', '--debug', 'mnt']);
    assert.deepEqual([line.logLevel, line.logFile, line.debug], ['debug', '/x', true]);
  });

  it('takes the transport as an option of the mount', () => {
    assert.deepEqual(parseDropIn(['--transport', 'fuse-native', 'mnt']).options, ['transport=fuse-native']);
    assert.deepEqual(parseDropIn(['--transport=kernel', 'mnt']).options, ['transport=kernel']);
  });

  for (const words of [
    ['-x', 'mnt'],
    ['--nope', 'mnt'],
    ['--debug=1', 'mnt'],
    ['mnt', '-o'],
    ['--log-file'],
  ]) {
    it(`refuses ${words.join(' ')}`, () => assert.throws(() => parseDropIn(words), UsageError));
  }
});

describe('mount options', () => {
  const parse = (text: string, selinux = false) =>
    parseMountOptions(
      text.split(',').map((word) => {
        const [key = '', ...value] = word.split('=');
        return { key, value: value.length === 0 ? null : value.join('=') };
      }),
      selinux,
    );

  it('choose the transport', () => {
    assert.equal(parse('ro').transport, 'kernel');
    assert.equal(parse('transport=fuse-native').transport, 'fuse-native');
    assert.throws(() => parse('transport=tcp'), /kernel or fuse-native/);
    assert.throws(() => parse('transport'), /kernel or fuse-native/);
  });

  it('choose whether CPUs are kept awake', () => {
    assert.equal(parse('ro').keepAwake, 'auto');
    assert.equal(parse('keep_awake=on,keep_awake=off').keepAwake, 'off');
    assert.throws(() => parse('keep_awake=yes'), /keep_awake is auto, on or off, not 'yes'/);
    assert.throws(() => parse('keep_awake'), /keep_awake is auto, on or off/);
  });

  it('set flags; the last one wins', () => {
    assert.equal(
      parse('ro,nosuid,nodev,noexec').flags,
      sys.MS_RDONLY | sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC,
    );
    assert.equal(parse('ro,nosuid,rw,suid,noatime').flags, sys.MS_NOATIME);
  });

  it('ignore the words that mount(8) uses for itself', () => {
    const options = parse('defaults,nofail,_netdev,noauto,x-systemd.automount,user,subtype=plyfs');
    assert.deepEqual([options.flags, options.warnings], [0, []]);
  });

  it('pass SELinux contexts to the kernel where SELinux is enabled', () => {
    assert.deepEqual(parse('context=u:r:t:s0', true).extra, ['context="u:r:t:s0"']);
    const off = parse('context=u:r:t:s0');
    assert.deepEqual(off.extra, []);
    assert.match(off.warnings[0]!, /SELinux is not enabled/);
  });

  it('take the options of FUSE', () => {
    const options = parse(
      'allow_other,default_permissions,fsname=a\\\\b,max_read=65536,data=passthrough,debug',
    );
    assert.deepEqual([options.allowOther, options.source, options.maxRead], [true, 'a\\b', 65536]);
    assert.deepEqual([options.data, options.debug], ['passthrough', true]);
  });

  for (const text of ['nope', 'nope=1', 'ro=1', 'max_read=x', 'data=fast', 'context']) {
    it(`refuse ${text}`, () => assert.throws(() => parse(text), UserError));
  }
});
