/** The chart: for every group, how many times the cost of kernel overlayfs each contender is, on a logarithmic scale. */

import { type Contender, KERNEL } from './contender.js';
import type { Circumstances } from './report.js';
import type { Results } from './results.js';
import type { Group } from './scenario.js';

const WIDTH = 760;
const LEFT = 110;
const RIGHT = 60;
const BAR = 13;
const GROUP_GAP = 14;
const TOP = 74;

/** Colours that keep their contrast on white and on near-black. */
const COLOURS: Readonly<Record<string, string>> = {
  plain: '#8b949e',
  'plyfs cached': '#2f81f7',
  'plyfs passthrough': '#8957e5',
  'fuse-overlayfs': '#d9822b',
};
const OTHER_COLOURS = ['#2da44e', '#bf3989', '#9e6a03'];

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 11px; fill: #57606a }
  .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #d0d7de }
  .one { stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .one { stroke: #e6edf3 }
  }
`;

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function colour(contender: Contender, others: readonly Contender[]): string {
  return COLOURS[contender.name] ?? OTHER_COLOURS[others.indexOf(contender) % OTHER_COLOURS.length]!;
}

interface Scale {
  readonly ticks: readonly number[];
  x(ratio: number): number;
}

/** From the power of two below all ratios to the one above, within 1/16 and 64: bars that go beyond are cut off. */
function createScale(ratios: readonly number[]): Scale {
  const low = Math.max(-4, Math.min(-1, Math.floor(Math.log2(Math.min(1, ...ratios)))));
  const high = Math.min(6, Math.max(1, Math.ceil(Math.log2(Math.max(1, ...ratios)))));
  const ticks = Array.from({ length: high - low + 1 }, (_, i) => 2 ** (low + i));
  const clamp = (exponent: number) => Math.max(low, Math.min(high, exponent));
  const x = (ratio: number) =>
    LEFT + ((clamp(Math.log2(ratio)) - low) / (high - low)) * (WIDTH - LEFT - RIGHT);
  return { ticks, x };
}

function legend(contenders: readonly Contender[]): string {
  const parts: string[] = [];
  let x = LEFT;
  for (const contender of contenders) {
    parts.push(
      `<rect x="${x}" y="44" width="11" height="11" rx="2" fill="${colour(contender, contenders)}"/>`,
    );
    parts.push(`<text x="${x + 16}" y="54">${escapeXml(contender.name)}</text>`);
    x += 30 + contender.name.length * 7;
  }
  return parts.join('\n');
}

function grid(scale: Scale, bottom: number): string {
  return scale.ticks
    .map((tick) => {
      const x = scale.x(tick).toFixed(1);
      const label = tick < 1 ? `1/${1 / tick}` : `${tick}`;
      return `<line class="${tick === 1 ? 'one' : 'grid'}" x1="${x}" x2="${x}" y1="${TOP - 8}" y2="${bottom}"/>
<text class="small" x="${x}" y="${bottom + 15}" text-anchor="middle">${label}×</text>`;
    })
    .join('\n');
}

/** An SVG document that adapts to light and dark; its background is that of the page. */
export function formatChart(results: Results, at: Circumstances): string {
  const contenders = results.contenders.filter((contender) => contender.name !== KERNEL);
  const ratioOf = (group: Group, contender: Contender) => results.groupRatio(group, contender.name, KERNEL);
  const groups = results
    .groups()
    .filter((group) => contenders.some((contender) => ratioOf(group, contender) !== null));
  const all = groups.flatMap((group) => contenders.map((contender) => ratioOf(group, contender)));
  const scale = createScale(all.filter((ratio) => ratio !== null));
  const bars: string[] = [];
  let y = TOP;
  for (const group of groups) {
    const middle = y + (contenders.length * BAR) / 2 + 4;
    bars.push(`<text x="${LEFT - 10}" y="${middle}" text-anchor="end">${escapeXml(group)}</text>`);
    for (const contender of contenders) {
      const ratio = ratioOf(group, contender);
      if (ratio !== null) bars.push(bar(scale, y, ratio, colour(contender, contenders)));
      y += BAR;
    }
    y += GROUP_GAP;
  }
  const note = `${at.command} (${at.date}, rounds: ${results.rounds}): geometric means of the ratios of medians`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 42}" role="img">
<title>Cost relative to kernel overlayfs</title>
<style>${STYLE}</style>
<text class="title" x="${LEFT}" y="20">Cost relative to kernel overlayfs (1×): left of the line is faster</text>
<text class="small" x="${LEFT}" y="36">${escapeXml(note)}</text>
${legend(contenders)}
${grid(scale, y - GROUP_GAP + 6)}
${bars.join('\n')}
</svg>
`;
}

function bar(scale: Scale, y: number, ratio: number, fill: string): string {
  const from = scale.x(Math.min(1, ratio));
  const to = scale.x(Math.max(1, ratio));
  const label = ratio >= 10 ? ratio.toFixed(0) : ratio.toFixed(2);
  const width = Math.max(1.5, to - from);
  return `<rect x="${from.toFixed(1)}" y="${y + 1}" width="${width.toFixed(1)}" height="${BAR - 2}" rx="2" fill="${fill}"/>
<text class="small" x="${(to + 5).toFixed(1)}" y="${y + BAR - 3}">${label}</text>`;
}
