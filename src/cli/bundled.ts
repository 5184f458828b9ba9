/** Entry of the bundle (scripts/bundle.mjs): the command, and the parts with which scripts/rehearsal.cjs serves requests. */
import './main.js';

/** The parts of a mount, loaded on demand as the command does. */
export async function loadParts() {
  const { planMount } = await import('../session/plan.js');
  const { Serving } = await import('../session/serving.js');
  const { createOverlay } = await import('../overlay/overlay.js');
  const { Counters } = await import('../session/counters.js');
  return { planMount, Serving, createOverlay, Counters };
}
