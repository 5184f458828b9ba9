/** Sizes of everything; quick keeps the shapes and reduces the counts. */

export interface Sizes {
  readonly treeFiles: number;
  readonly bigDirEntries: number;
  readonly lookups: number;
  readonly newFiles: number;
  readonly copyUpFiles: number;
  /** The file copied up for one byte, MiB. */
  readonly hugeMiB: number;
  /** The file of the I/O group, MiB. */
  readonly ioMiB: number;
  readonly randomOps: number;
  readonly fsyncs: number;
  readonly sqliteCommits: number;
  readonly sqliteRows: number;
  readonly repoFiles: number;
  readonly pythonModules: number;
  readonly cFiles: number;
  readonly packages: number;
  readonly stormMs: number;
}

export const FULL: Sizes = {
  treeFiles: 5000,
  bigDirEntries: 20_000,
  lookups: 2000,
  newFiles: 2000,
  copyUpFiles: 2000,
  hugeMiB: 1024,
  ioMiB: 1024,
  randomOps: 10_000,
  fsyncs: 200,
  sqliteCommits: 200,
  sqliteRows: 50_000,
  repoFiles: 1500,
  pythonModules: 200,
  cFiles: 40,
  packages: 40,
  stormMs: 1000,
};

export const QUICK: Sizes = {
  treeFiles: 1500,
  bigDirEntries: 10_000,
  lookups: 600,
  newFiles: 600,
  copyUpFiles: 200,
  hugeMiB: 256,
  ioMiB: 128,
  randomOps: 4000,
  fsyncs: 50,
  sqliteCommits: 50,
  sqliteRows: 20_000,
  repoFiles: 500,
  pythonModules: 40,
  cFiles: 12,
  packages: 10,
  stormMs: 200,
};
