/** The commands that work with layers: each in its own file, loaded when it is called. */
import type { Argv } from 'yargs';
import { printError } from './print.js';
import type { ToolName } from './tool-names.js';
import type { ToolCommand } from './tools/command.js';
import { UsageError } from './usage-error.js';
import { asClause, asParagraphs, Complaints, helpWidth, withPlainPaths, YARGS_CWD } from './yargs.js';

const UNDERSTOOD = "; 2 the command line can't be understood.";

const TOOLS: Readonly<Record<ToolName, () => Promise<ToolCommand>>> = {
  diff: async () => (await import('./tools/diff.js')).diffCommand,
  inspect: async () => (await import('./tools/inspect.js')).inspectCommand,
  check: async () => (await import('./tools/check.js')).checkCommand,
  export: async () => (await import('./tools/export.js')).exportCommand,
  import: async () => (await import('./tools/import.js')).importCommand,
  layers: async () => (await import('./tools/layers.js')).layersCommand,
  merge: async () => (await import('./tools/merge.js')).mergeCommand,
  squash: async () => (await import('./tools/merge.js')).squashCommand,
  run: async () => (await import('./tools/run.js')).runCommand,
  stats: async () => (await import('./tools/stats.js')).statsCommand,
};

/** Runs the command `name`, the first of `args`, with the rest of them. Resolves to the exit code. */
export async function runTool(name: ToolName, args: readonly string[]): Promise<number> {
  const tool = await TOOLS[name]();
  try {
    return await parseAndRun(tool, args);
  } catch (error) {
    if (tool.failureCode === undefined) throw error;
    printError(error);
    return tool.failureCode(error instanceof UsageError);
  }
}

/** An error message of yargs, as one line. */
function sentence(message: string, tool: ToolCommand): string {
  if (/^Not enough non-option arguments/.test(message)) return `an argument is missing: plyfs ${tool.syntax}`;
  const hint = /^Unknown argument/.test(message) ? (tool.unknownHint ?? '') : '';
  return `${asClause(message)}${hint}`;
}

async function parseAndRun(tool: ToolCommand, args: readonly string[]): Promise<number> {
  let code = 0;
  const complaints = new Complaints();
  const run = async (parsed: Record<string, unknown>): Promise<void> => {
    if (complaints.worst === null) code = await tool.run(parsed);
  };
  const build = (y: Argv): Argv => {
    const built = tool.options(y).option('json', { type: 'boolean', describe: 'print JSON' });
    for (const [line, text] of tool.examples) built.example(line, text);
    if (tool.usage !== undefined) built.usage(`${tool.usage}\n\n${asParagraphs(tool.describe)}`);
    return built.epilogue(`Exit codes: ${tool.exitCodes}${tool.failureCode ? '.' : UNDERSTOOD}`);
  };
  const { default: yargs } = await import('yargs');
  // Behind the `--` of `run` is a command, not a path.
  const words = args[0] === 'run' ? [...args] : withPlainPaths(args);
  await (yargs(words, YARGS_CWD) as Argv)
    .scriptName('plyfs')
    .locale('en')
    .parserConfiguration({ 'populate--': true, 'duplicate-arguments-array': true })
    .command(tool.syntax, asParagraphs(tool.describe), build, run)
    .version(false)
    .help()
    .alias('help', 'h')
    .strict()
    .wrap(helpWidth())
    .exitProcess(false)
    .fail(complaints.add)
    .parseAsync();
  if (complaints.worst !== null)
    throw new UsageError(`${sentence(complaints.worst, tool)}; see 'plyfs ${args[0]} --help'.`);
  return code;
}
