/**
 * Mounts the test filesystem at argv[2] and serves it, for tests that look at the session from outside. Prints one
 * line when the mount answers and one when it has ended. SIGUSR2 unmounts, SIGUSR1 prints the counters.
 */

import type { OpenedLayers, OverlayOptions } from '../../src/overlay/config.js';
import { openLog } from '../../src/session/log.js';
import { MainSession } from '../../src/session/main-session.js';
import { parseMountOptions } from '../../src/session/mount-options.js';
import type { MountPlan } from '../../src/session/plan.js';
import { startMount } from '../../src/session/start-mount.js';
import { ThreadSession } from '../../src/session/thread-session.js';
import { createOverlay } from './session-fs.js';

const words = (process.argv[3] ?? '').split(',').filter((word) => word !== '');
const plan: MountPlan = {
  mountpoint: process.argv[2]!,
  overlay: { acl: true, xattrs: true, readOnly: false, upperdir: '/nowhere' } as unknown as OverlayOptions,
  kernel: parseMountOptions(
    words.map((key) => ({ key, value: null })),
    false,
  ),
  log: { fd: 2, level: 'debug', format: 'text' },
  trace: process.env['PLYFS_TEST_TRACE'] !== undefined,
  openLayers: (options) => ({ options, warnings: [], descriptors: [] }) as unknown as OpenedLayers,
};

const session =
  process.env['PLYFS_TEST_ONE_THREAD'] === undefined
    ? new ThreadSession(new URL('./session-fs.js', import.meta.url).href)
    : new MainSession(createOverlay);
const log = openLog(plan.log);
try {
  const mount = await startMount(plan, session);
  process.on('SIGUSR1', () => console.log(`stats ${JSON.stringify(mount.stats())}`));
  process.on('SIGUSR2', () => {
    mount.unmount().catch((error: Error) => console.log(`refused ${error.message}`));
  });
  console.log('ready');
  const end = await mount.closed;
  console.log(`ended ${end.reason}`);
  process.exitCode = end.reason === 'unmounted' ? 0 : 1;
} catch (error) {
  log.error({ error: String(error) }, 'no mount');
  process.exitCode = 1;
}
