/** A Node program that uses plyfs: argv is lower, upper, work, mount point. Prints what the handle reports. */
import { setTimeout } from 'node:timers/promises';
import { mount, UserError } from '../../src/index.js';

const [lower = '', upper = '', work = '', mountpoint = ''] = process.argv.slice(2);
try {
  const transport = process.env['PLYFS_TEST_TRANSPORT'] === 'fuse-native' ? 'fuse-native' : 'kernel';
  const options = ['nosuid'];
  const handle = await mount({ mountpoint, lower: [lower], upper, work, source: 'api', options, transport });
  await handle.ready;
  console.log(`ready ${handle.mountpoint}`);
  process.stdin.once('data', async () => {
    // With fuse-native another process counts, and reports the numbers from time to time.
    for (let i = 0; i < 3000 && handle.stats().totalRequests === 0; i++) await setTimeout(10);
    console.log(`requests ${handle.stats().totalRequests > 0}`);
    await handle.unmount();
    const end = await handle.closed;
    console.log(`ended ${end.reason}`);
    process.stdin.destroy();
  });
} catch (error) {
  console.log(error instanceof UserError ? `sorry: ${error.message}` : `bug: ${error}`);
}
