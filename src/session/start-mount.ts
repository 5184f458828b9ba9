/**
 * Mounting from the main thread: open the layers, mount, run the session, end it again.
 *
 *   check options -> open layers -> mount -> session starts -> INIT answered: ready
 *   ready -> unmount() or anyone's umount -> session ends -> closed
 *
 * A failure on the way to "ready" leaves nothing mounted.
 */
import { availableParallelism } from 'node:os';
import { MAX_FDS } from '../overlay/descriptor-budget.js';
import { closeLayers } from '../overlay/layers.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { checkAddressSpace } from './address-space.js';
import { type Attachment, attach, attachedAt, detach, resolveMountpoint } from './attach.js';
import { CAUTION, cautiousFlags } from './caution.js';
import { openKeepAwake } from './keep-awake.js';
import { LiveMount, type Mount } from './live-mount.js';
import type { MountPlan } from './plan.js';
import { setPropagation } from './propagation.js';
import type { MountSession } from './protocol.js';

function attachPlan(plan: MountPlan, target: string, moreFlags: number): Promise<Attachment> {
  const { kernel, overlay } = plan;
  const readOnly = overlay.readOnly || overlay.upperdir === null;
  return attach({
    source: kernel.source ?? 'plyfs',
    target,
    flags: kernel.flags | moreFlags | (readOnly ? sys.MS_RDONLY : 0),
    allowOther: kernel.allowOther,
    defaultPermissions: kernel.defaultPermissions,
    maxRead: kernel.maxRead,
    extra: kernel.extra,
  });
}

/** Mounts according to a checked plan and resolves once the mount is ready. `session` must not have been started. */
export async function startMount(plan: MountPlan, session: MountSession): Promise<Mount> {
  checkAddressSpace();
  const mount = await startByTransport(plan, session);
  const { propagation } = plan.kernel;
  if (propagation === null) return mount;
  const warning = setPropagation(mount.target, propagation);
  if (warning !== null) mount.warnings.push(warning);
  return mount;
}

async function startByTransport(plan: MountPlan, session: MountSession): Promise<LiveMount> {
  if (plan.kernel.transport === 'kernel') return await startKernelMount(plan, session);
  await session.discard();
  return await startNativeMount(plan);
}

async function startKernelMount(plan: MountPlan, session: MountSession): Promise<LiveMount> {
  const target = resolveMountpoint(plan.mountpoint);
  const opened = plan.openLayers(plan.overlay);
  const warnings = [...plan.kernel.warnings, ...opened.warnings];
  const cautious = cautiousFlags(plan, opened.layers);
  if (cautious !== 0) warnings.push(CAUTION);
  const awakeFd = openKeepAwake(plan.kernel.keepAwake, (text) => warnings.push(text));
  // Both before mounting, since the mount may cover what they read: /sys, /etc/localtime.
  const hasTwoCpus = availableParallelism() > 1;
  const startedAt = new Date().toISOString();
  const close = (): void => {
    if (awakeFd >= 0) sys.close(awakeFd);
    closeLayers(opened);
  };
  let attachment: Attachment;
  try {
    attachment = await attachPlan(plan, target, cautious);
  } catch (error) {
    close();
    throw error;
  }
  const mount = new LiveMount(attachment, session, { options: opened.options, startedAt }, () => {
    sys.close(attachment.fd);
    close();
  });
  void sys.reserveDescriptors(attachment.fd, MAX_FDS);
  mount.warnings.push(...warnings);
  session.start({
    fd: attachment.fd,
    options: opened.options,
    opened,
    dataMode: plan.kernel.data === 'passthrough' ? 'passthrough' : 'cached',
    btime: plan.kernel.btime,
    awakeFd,
    hasTwoCpus,
    log: plan.log,
    trace: plan.trace,
  });
  try {
    await session.ready;
  } catch (error) {
    await mount.closed;
    throw error;
  }
  mount.settle();
  return mount;
}

/** The same through fuse-native, in a separate process: see native-main.ts. */
async function startNativeMount(plan: MountPlan): Promise<LiveMount> {
  const { NativeSession, nativeStart } = await import('./native-session.js');
  const target = resolveMountpoint(plan.mountpoint);
  const { start, warnings } = nativeStart(plan, target);
  const session = new NativeSession(plan.log.fd);
  session.start(start);
  try {
    warnings.push(...(await session.ready));
  } catch (error) {
    await session.closed;
    const left = attachedAt(target);
    if (left !== null) await detach(left, true);
    throw error;
  }
  const attachment = attachedAt(target);
  if (attachment === null) throw new UserError('the mount ended before it was ready.');
  const mount = new LiveMount(
    attachment,
    session,
    { options: plan.overlay, startedAt: new Date().toISOString() },
    () => {},
  );
  mount.warnings.push(...plan.kernel.warnings, ...warnings);
  mount.settle();
  return mount;
}
