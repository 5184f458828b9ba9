/** How plyfs treats every option of fuse-overlayfs 1.x and 2.x: the same meaning, a warning, or a refusal. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import type { OverlayOptions } from '../../src/overlay/config.js';
import { UserError } from '../../src/overlay/user-error.js';
import { NO_LOG } from '../../src/session/log.js';
import type { KernelOptions } from '../../src/session/mount-options.js';
import { type MountPlan, planMount } from '../../src/session/plan.js';
import * as sys from '../../src/sys/index.js';
import { run } from '../support/exec.js';
import { isRoot } from '../support/scratch.js';
import { hasTool } from '../support/table.js';

interface Meaning {
  readonly overlay?: Partial<OverlayOptions>;
  readonly kernel?: Partial<KernelOptions>;
  /** It has no effect, and says so. */
  readonly warns?: RegExp;
  readonly refused?: RegExp;
}

const selinux: Meaning = existsSync('/sys/fs/selinux/enforce') ? {} : { warns: /SELinux is not enabled/ };
const INODES = /inode numbers are those of the layers/;

/** By the text of the option. `{}`: accepted without a message, since plyfs behaves like this anyway. */
const OPTIONS: Readonly<Record<string, Meaning>> = {
  // Table ovl_opts of 1.x, parse_single_option() of 2.x.
  'lowerdir=/a:/b\\:c': { overlay: { lowerdir: ['/a', '/b:c'] } },
  'upperdir=/u\\,p': { overlay: { upperdir: '/u,p' } },
  'workdir=/w\\:k': { overlay: { workdir: '/w:k' } },
  'redirect_dir=off': { overlay: { redirectDir: 'follow' } },
  'context="system_u:object_r:t:s0:c1,c2"': selinux,
  'context=system_u:object_r:t:s0': selinux,
  'uidmapping=0:1000:1:1:110000:65536': { overlay: { uidmapping: '0:1000:1:1:110000:65536' } },
  'uidmapping=:0:1000:1': { overlay: { uidmapping: '0:1000:1' } },
  'gidmapping=:0:1000:1:1:5:2': { overlay: { gidmapping: '0:1000:1:1:5:2' } },
  'uidmapping=0:1000': { refused: /uidmapping.*0:1000/ },
  'gidmapping=0:x:1': { refused: /gidmapping.*0:x:1/ },
  'timeout=1.5': { warns: /timeout.*no effect/ },
  'threaded=0': { warns: /threaded.*no effect/ },
  'threaded=1': { warns: /threaded.*no effect/ },
  'fsync=0': { overlay: { fsync: 'volatile' } },
  'fsync=1': { overlay: { fsync: 'auto' } },
  'sync=0': { overlay: { fsync: 'volatile' } },
  'fast_ino=1': { warns: INODES },
  'fast_ino_check=1': { warns: INODES },
  'writeback=0': { warns: /written through/ },
  'writeback=1': { warns: /written through/ },
  'noxattrs=1': { overlay: { xattrs: false } },
  'noxattrs=0': { overlay: { xattrs: true } },
  'plugins=': {},
  'plugins=/usr/lib/test.so': { refused: /plugins are not offered/ },
  'xattr_permissions=0': { overlay: { xattrPermissions: 0 } },
  'xattr_permissions=1': { overlay: { xattrPermissions: 1 } },
  'xattr_permissions=2': { overlay: { xattrPermissions: 2 } },
  'xattr_permissions=3': { refused: /xattr_permissions.*3/ },
  squash_to_root: { overlay: { squashToUid: 0, squashToGid: 0 } },
  'squash_to_uid=7': { overlay: { squashToUid: 7, squashToGid: null } },
  'squash_to_gid=8': { overlay: { squashToUid: null, squashToGid: 8 } },
  'squash_to_root,squash_to_uid=7': { overlay: { squashToUid: 7, squashToGid: 0 } },
  'squash_to_uid=7,squash_to_root': { overlay: { squashToUid: 7, squashToGid: 0 } },
  'squash_to_uid=me': { refused: /squash_to_uid.*me/ },
  static_nlink: { overlay: { staticNlink: true } },
  ino32_t: { warns: INODES },
  'nfs_filehandles=1': { warns: INODES },
  volatile: { overlay: { volatile: true } },
  noacl: { overlay: { acl: false } },
  'xino=off': { overlay: { xino: 'off' } },
  'xino=auto': { overlay: { xino: 'auto' } },
  'xino=on': { overlay: { xino: 'on' } },
  'xino=maybe': { refused: /xino.*maybe/ },

  // What both pass on to FUSE.
  allow_other: { kernel: { allowOther: true } },
  // Root is kept out of a plain user's mount, and the user is told.
  allow_root: { kernel: { allowOther: false }, ...(isRoot ? {} : { warns: /not root/ }) },
  default_permissions: { kernel: { defaultPermissions: true } },
  suid: { kernel: { flags: 0 } },
  nosuid: { kernel: { flags: sys.MS_NOSUID } },
  dev: { kernel: { flags: 0 } },
  nodev: { kernel: { flags: sys.MS_NODEV } },
  exec: { kernel: { flags: 0 } },
  noexec: { kernel: { flags: sys.MS_NOEXEC } },
  atime: { kernel: { flags: 0 } },
  noatime: { kernel: { flags: sys.MS_NOATIME } },
  diratime: { kernel: { flags: 0 } },
  nodiratime: { kernel: { flags: sys.MS_NODIRATIME } },
  ro: { overlay: { readOnly: true } },
  rw: { overlay: { readOnly: false } },
  debug: { kernel: { debug: true } },
  kernel_cache: {},
  splice_write: { warns: /splice_write has no effect/ },
  splice_read: { warns: /splice_read has no effect/ },
  splice_move: { warns: /splice_move has no effect/ },
  'max_write=65536': { warns: /max_write has no effect/ },
  'fsname=some\\,name': { kernel: { source: 'some,name' } },
  'fsname=': { kernel: { source: null } },

  // libfuse's own, as `fuse-overlayfs --help` prints them.
  clone_fd: { warns: /clone_fd has no effect/ },
  'max_idle_threads=4': { warns: /max_idle_threads has no effect/ },
  'max_threads=4': { warns: /max_threads has no effect/ },
  auto_unmount: { warns: /auto_unmount has no effect/ },

  // What fuse-overlayfs ignores as unknown. buildah passes `private` to the mount program for its overlay volumes.
  private: { kernel: { propagation: sys.MS_PRIVATE } },
  'rslave,rshared': { kernel: { propagation: sys.MS_SHARED } },
  'private=1': { refused: /unknown option 'private=1'/ },
  'frobnicate=1': { refused: /unknown option 'frobnicate=1'/ },
  remount: { refused: /changes a mount that exists/ },
};

function plan(text: string): MountPlan {
  const options = ['lowerdir=/l,upperdir=/u,workdir=/w', text];
  return planMount({ options, source: null, mountpoint: '/m', debug: false }, NO_LOG);
}

/** The part of `actual` that `wanted` mentions. */
function part<T extends object>(actual: T, wanted: Partial<T>): Partial<T> {
  return Object.fromEntries(Object.keys(wanted).map((key) => [key, actual[key as keyof T]])) as Partial<T>;
}

describe("fuse-overlayfs's option", () => {
  for (const [text, meaning] of Object.entries(OPTIONS)) {
    it(text, () => {
      if (meaning.refused !== undefined) {
        assert.throws(
          () => plan(text),
          (error) => error instanceof UserError && meaning.refused!.test(error.message),
        );
        return;
      }
      const { overlay, kernel } = plan(text);
      assert.deepEqual(part(overlay, meaning.overlay ?? {}), meaning.overlay ?? {});
      assert.deepEqual(part(kernel, meaning.kernel ?? {}), meaning.kernel ?? {});
      const warnings = kernel.warnings.join('\n');
      if (meaning.warns !== undefined) assert.match(warnings, meaning.warns);
      else assert.equal(warnings, '');
    });
  }

  it('that its help names is in this table', async (t) => {
    if (!(await hasTool('fuse-overlayfs'))) return t.skip('fuse-overlayfs is not installed');
    const { stdout } = await run('fuse-overlayfs', ['--help']);
    const named = [...stdout.matchAll(/-o (\w+)/g)].map((match) => match[1]!);
    const known = new Set(Object.keys(OPTIONS).map((text) => text.replace(/=.*/s, '')));
    assert.ok(named.length > 5, stdout);
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    );
  });
});
