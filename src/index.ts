/** plyfs for Node programs: `import { mount } from 'plyfs'`. */
export {
  type EndReason,
  type LogLevel,
  type LogTarget,
  type Mount,
  type MountOptions,
  mount,
  type SessionEnd,
  type Stats,
  type Transport,
} from './mount.js';
export { UserError } from './overlay/user-error.js';
export { type Fate, type RunOptions, type RunResult, run } from './run/run.js';
export { askMount } from './session/control.js';
export type { MountReport } from './session/mount-report.js';
export { type ApplyOptions, apply } from './tools/apply.js';
export {
  type CheckOptions,
  type CheckResult,
  check,
  type Finding,
  type FindingCode,
  type WhiteoutForm,
} from './tools/check/check.js';
export { type Change, type DiffOptions, type DiffResult, type DiffSummary, diff } from './tools/diff.js';
export { type InspectOptions, type InspectResult, inspect, type LayerFinding } from './tools/inspect.js';
export { type LayerSizes, type LayersOptions, type LayersResult, layers } from './tools/layers.js';
export { layersPage } from './tools/layers-page.js';
export { type MergeOptions, type MergeResult, merge } from './tools/merge.js';
export { type ExportOptions, type ExportResult, exportLayer } from './tools/oci/export.js';
export {
  type ImportedLayer,
  type ImportOptions,
  type ImportResult,
  importLayers,
} from './tools/oci/import.js';
export { type SquashOptions, squash } from './tools/squash.js';
export type { PathLike } from './tools/text.js';
export type { Stack } from './tools/view.js';
