import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OverlayOptions } from '../../src/overlay/config.js';
import { DEFAULTS } from '../../src/overlay/option-table.js';
import { escapeValue } from '../../src/overlay/option-text.js';
import { parseOptions, printOptions } from '../../src/overlay/options.js';
import { UserError } from '../../src/overlay/user-error.js';

const U = 'upperdir=/u,workdir=/w';

function overlay(text: string | string[]): OverlayOptions {
  return parseOptions(text, '/cwd').overlay;
}

function refused(text: string, message: RegExp): void {
  assert.throws(
    () => parseOptions(text, '/cwd'),
    (error: unknown) => {
      assert.ok(error instanceof UserError, `${text}: ${error}`);
      assert.match(error.message, message, text);
      assert.match(error.message, /\.$/, `${text}: a sentence`);
      return true;
    },
    text,
  );
}

test('the usual three directories; options that are not the overlay’s are passed on as typed', () => {
  const parsed = parseOptions(`lowerdir=/a:/b,${U},allow_other,nosuid,context="s:c0,c1",fsname=x`, '/cwd');
  assert.deepEqual(parsed.overlay, { ...DEFAULTS, lowerdir: ['/a', '/b'], upperdir: '/u', workdir: '/w' });
  assert.deepEqual(parsed.rest, ['allow_other', 'nosuid', 'context="s:c0,c1"', 'fsname=x']);
  assert.deepEqual(parsed.warnings, []);
});

test('several -o are read in order, and the last value of an option counts', () => {
  const options = overlay(['lowerdir=/a', U, 'lowerdir=/b:/c', 'upperdir=/v', 'index=on,index=off']);
  assert.deepEqual(options.lowerdir, ['/b', '/c']);
  assert.equal(options.upperdir, '/v');
  assert.equal(options.index, false);
});

test('lower directories: separators, escapes, data-only layers', () => {
  const cases: [string, string[], string[]][] = [
    ['lowerdir=/a', ['/a'], []],
    ['lowerdir=/a\\:b:/c', ['/a:b', '/c'], []],
    ['lowerdir=/a\\,b:/c', ['/a,b', '/c'], []],
    ['lowerdir=/a\\\\:/c', ['/a\\', '/c'], []],
    ['lowerdir=/a::/d', ['/a'], ['/d']],
    ['lowerdir=/a:/b::/d::/e', ['/a', '/b'], ['/d', '/e']],
    ['lowerdir="/a,b:/c"', ['/a,b', '/c'], []],
    ['lowerdir=/a"b', ['/a"b'], []],
    ['lowerdir=/caf\xc3\xa9:/\xff', ['/caf\xc3\xa9', '/\xff'], []],
    ['lowerdir=a:./b:../c', ['/cwd/a', '/cwd/./b', '/cwd/../c'], []],
    ['lowerdir+=/a:b,lowerdir+=c\\,d,datadir+=/d', ['/a:b', '/cwd/c,d'], ['/d']],
    ['lowerdir=/x,lowerdir=,lowerdir+=/a', ['/a'], []],
  ];
  for (const [text, lower, data] of cases) {
    const options = overlay(text);
    assert.deepEqual(options.lowerdir, lower, text);
    assert.deepEqual(options.datadir, data, text);
  }
});

test('a quote in a path does not swallow the options after it', () => {
  assert.equal(overlay(`lowerdir=/a"b,${U}`).upperdir, '/u');
  assert.deepEqual(overlay(`lowerdir="x,${U}`).lowerdir, ['/cwd/"x']);
  assert.equal(overlay(`lowerdir="x,${U}`).upperdir, '/u');
});

test('lower directories that the kernel refuses too', () => {
  refused('lowerdir=:/a', /starts with a colon/);
  refused('lowerdir=::/a', /starts with a colon/);
  refused('lowerdir=/a:', /ends with a colon/);
  refused('lowerdir=/a::', /ends with a colon/);
  refused('lowerdir=/a:::/b', /more than two colons/);
  refused('lowerdir=/a::/d:/b', /data-only directories are the last/);
  refused('lowerdir=/a,lowerdir+=/b', /can't follow lowerdir=/);
  refused('datadir+=/d,lowerdir+=/b', /data-only directories are the last/);
});

test('bad values and missing values', () => {
  refused('lowerdir', /'lowerdir' needs a value/);
  refused('upperdir=', /'upperdir' has a bad value/);
  refused('xino=maybe', /'xino' has a bad value 'maybe': it is 'xino=on\|off\|auto'/);
  refused('redirect_dir=yes', /bad value 'yes'/);
  refused('redirect_dir=constructor', /bad value/);
  refused('volatile=on', /'volatile' takes no value/);
  refused('userxattr=1', /'userxattr' takes no value/);
  refused('index', /'index' needs a value/);
  refused('squash_to_uid=-1', /bad value/);
  refused('squash_to_uid=4294967295', /bad value/);
  refused('squash_to_uid=root', /bad value/);
  refused('uidmapping=0:1', /bad value/);
  refused('xattr_permissions=3', /bad value/);
  refused('nfs_export=on', /nfs_export=on is not offered/);
  refused('nfs_export=maybe', /bad value/);
  refused('verity=require', /verity=require is not offered/);
  refused('plugins=x.so', /bad value|not offered/);
});

/** Each row was tried on kernel overlayfs 6.18: what it refuses is refused here. */
test('options that exclude each other', () => {
  const lower = 'lowerdir=/a:/b';
  refused(`${lower},${U},metacopy=on,redirect_dir=nofollow`, /metacopy=on and redirect_dir=nofollow/);
  refused(`${lower},${U},metacopy=on,redirect_dir=off`, /metacopy=on and redirect_dir=follow/);
  refused(`${lower},${U},redirect_dir=follow,metacopy=on`, /metacopy=on and redirect_dir=follow/);
  refused(`${lower},${U},userxattr,redirect_dir=on`, /userxattr and redirect_dir=on/);
  refused(`${lower},${U},userxattr,redirect_dir=off`, /userxattr and redirect_dir=follow/);
  refused(`${lower},${U},userxattr,metacopy=on`, /userxattr and metacopy=on/);
});

/** Each row was tried on kernel overlayfs 6.18: the values are what /proc/mounts showed. */
test('options that imply each other', () => {
  const pick = (text: string): unknown[] => {
    const { redirectDir, metacopy, index, volatile } = overlay(text);
    return [redirectDir, metacopy, index, volatile];
  };
  const lower = 'lowerdir=/a:/b';
  assert.deepEqual(pick(`${lower},${U}`), ['follow', false, false, false]);
  assert.deepEqual(pick(`${lower},${U},redirect_dir=off`), ['follow', false, false, false]);
  assert.deepEqual(pick(`${lower},${U},metacopy=on`), ['on', true, false, false]);
  assert.deepEqual(pick(`${lower},metacopy=on,redirect_dir=follow`), ['on', true, false, false]);
  assert.deepEqual(pick(`${lower},${U},userxattr`), ['nofollow', false, false, false]);
  assert.deepEqual(pick(`${lower},${U},userxattr,redirect_dir=nofollow`), ['nofollow', false, false, false]);
  assert.deepEqual(pick(`${lower},${U},userxattr,index=on`), ['nofollow', false, true, false]);
  assert.deepEqual(pick(`${lower}::/d,${U},redirect_dir=nofollow`), ['nofollow', false, false, false]);
  assert.deepEqual(pick(`${lower},index=on,volatile`), ['follow', false, false, false]);
});

test('options without effect because there is no upper cause a warning', () => {
  const { warnings, overlay: options } = parseOptions('lowerdir=/a,index=on,volatile', '/cwd');
  assert.equal(warnings.length, 2);
  assert.equal(options.readOnly, true);
});

test('ro is known here and passed on', () => {
  const parsed = parseOptions(`lowerdir=/a,${U},ro`, '/cwd');
  assert.equal(parsed.overlay.readOnly, true);
  assert.deepEqual(parsed.rest, ['ro']);
  assert.equal(overlay(`lowerdir=/a,${U},ro,rw`).readOnly, false);
});

test('options of fuse-overlayfs', () => {
  const options = overlay(
    `lowerdir=/a,${U},uidmapping=:0:1000:1:1:100000:65536,gidmapping=0:5:1,squash_to_uid=7,xattr_permissions=2,noacl,noxattrs=1,fsync=0`,
  );
  assert.equal(options.uidmapping, '0:1000:1:1:100000:65536');
  assert.equal(options.gidmapping, '0:5:1');
  assert.equal(options.squashToUid, 7);
  assert.equal(options.squashToGid, null);
  assert.equal(options.xattrPermissions, 2);
  assert.equal(options.acl, false);
  assert.equal(options.xattrs, false);
  assert.equal(options.fsync, 'volatile');
  assert.equal(options.volatile, false);
  assert.deepEqual(
    [overlay('lowerdir=/a,squash_to_root').squashToUid, overlay('lowerdir=/a,squash_to_root').squashToGid],
    [0, 0],
  );
  assert.equal(overlay('lowerdir=/a,squash_to_uid=7,squash_to_root').squashToUid, 7);
  assert.equal(overlay('lowerdir=/a,squash_to_root,squash_to_gid=8').squashToGid, 8);
  assert.equal(overlay('lowerdir=/a,noxattrs').xattrs, false);
  assert.deepEqual(parseOptions('lowerdir=/a,ino32_t,threaded').rest, []);
  const ignored = parseOptions(
    'lowerdir=/a,static_nlink,threaded=1,timeout=3,fast_ino=1,writeback=0,plugins=',
  );
  assert.deepEqual(ignored.rest, []);
  assert.equal(ignored.warnings.length, 4);
});

test('printed options read back the same', () => {
  const texts = [
    'lowerdir=/a',
    `lowerdir=/a:/b,${U}`,
    'lowerdir=/a\\:b:/c\\,d:/e\\\\:/"f::/g\\,',
    'lowerdir+="/q"',
    `lowerdir=/a,${U},metacopy=on`,
    `lowerdir=/a,${U},metacopy=on,redirect_dir=on,index=on,xino=off,uuid=off`,
    `lowerdir=/a,${U},userxattr,volatile,whiteout=xattr,wh=off`,
    `lowerdir=/a,${U},redirect_dir=nofollow,fsync=strict,noacl,noxattrs`,
    `lowerdir=/a,${U},uidmapping=:0:1:2,squash_to_gid=3,xattr_permissions=1`,
  ];
  for (const text of texts) {
    const options = overlay(text);
    const printed = printOptions(options).join(',');
    assert.deepEqual(overlay(printed), options, `${text} -> ${printed}`);
  }
  assert.deepEqual(printOptions(overlay('lowerdir=/a')), ['lowerdir=/a']);
});

test('any path survives escaping', () => {
  for (const path of ['/a', '/a,b', '/a:b', '/a\\b', '/a\\', '/"', '/"a,b"', '/a b\n', '/\xff']) {
    assert.deepEqual(overlay(`lowerdir=${escapeValue(path)}:/z`).lowerdir, [path, '/z']);
    assert.equal(overlay(`lowerdir=/z,upperdir=${escapeValue(path)},workdir=/w`).upperdir, path);
  }
});

test('relative paths count from the working directory by default', () => {
  assert.deepEqual(parseOptions('lowerdir=x').overlay.lowerdir, [`${process.cwd()}/x`]);
});
