/** The result of `plyfs layers` as one self-contained page: a treemap of the merged view and a table of the layers. */
import type { LayersResult } from './layers.js';

/** JSON that can stand inside a script element, whatever names are in it. */
function embedded(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --ink: #1a1a1a; --paper: #fdfdfc; --dim: #666; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --paper: #161615; --dim: #999; } }
body { margin: 2rem auto; max-width: 72rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:last-child, td:last-child, th:nth-child(2), td:nth-child(2) { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; vertical-align: -.05em; }
#map { position: relative; height: 32rem; border: 1px solid var(--line); overflow: hidden; }
.cell { position: absolute; box-sizing: border-box; overflow: hidden; border: 1px solid var(--paper); font-size: 11px; line-height: 15px; padding: 0 3px; color: #111; text-align: left; white-space: nowrap; text-overflow: ellipsis; }
button.cell { display: flex; align-items: flex-start; font-family: inherit; cursor: zoom-in; border-radius: 0; }
#path { display: flex; flex-wrap: wrap; gap: .25rem; margin: .5rem 0; }
#path button { font: inherit; border: 0; background: none; color: inherit; cursor: pointer; text-decoration: underline; padding: 0 .15rem; }
#note { color: var(--dim); min-height: 1.5em; }
`;

const SCRIPT = `
const data = JSON.parse(document.getElementById('data').textContent);
const colour = (layer) => 'hsl(' + ((layer * 137 + 205) % 360) + ' 55% 72%)';
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
function size(n) { let u = 0; while (n >= 1024 && u < 4) { n /= 1024; u++; } return (u ? n.toFixed(1) : n) + ' ' + units[u]; }
function el(tag, text, parent) { const e = document.createElement(tag); if (text !== null) e.textContent = text; parent.append(e); return e; }
// Squarified: rows along the shorter side, each as square as it gets.
function layout(items, x, y, w, h, out) {
  const total = items.reduce((s, i) => s + i.bytes, 0);
  let rest = items.slice(), left = total;
  while (rest.length && w > 0 && h > 0) {
    const side = Math.min(w, h), scale = w * h / left;
    let row = [], sum = 0, worst = Infinity;
    for (const item of rest) {
      const s = (sum + item.bytes) * scale, long = s / side;
      const ratios = [...row, item].map((i) => { const l = i.bytes * scale / long; return Math.max(l / long, long / l); });
      const now = Math.max(...ratios);
      if (now > worst) break;
      worst = now; row.push(item); sum += item.bytes;
    }
    const long = sum * scale / side; let at = 0;
    for (const item of row) {
      const l = item.bytes * scale / long;
      out.push(w >= h ? [item, x, y + at, long, l] : [item, x + at, y, l, long]);
      at += l;
    }
    if (w >= h) { x += long; w -= long; } else { y += long; h -= long; }
    left -= sum; rest = rest.slice(row.length);
  }
}
const map = document.getElementById('map'), path = document.getElementById('path'), note = document.getElementById('note');
function draw(trail) {
  const node = trail[trail.length - 1];
  map.replaceChildren(); path.replaceChildren();
  trail.forEach((n, i) => { const b = el('button', n.name, path); b.onclick = () => draw(trail.slice(0, i + 1)); });
  el('span', ' ' + size(node.bytes), path);
  place(node, trail, 0, 0, map.clientWidth, map.clientHeight, 0);
}
function place(node, trail, x, y, w, h, depth) {
  const cells = []; layout(node.children.filter((c) => c.bytes > 0), x, y, w, h, cells);
  for (const [item, cx, cy, cw, ch] of cells) {
    const dir = item.children.length > 0;
    const cell = el(dir ? 'button' : 'div', null, map);
    cell.className = 'cell';
    Object.assign(cell.style, { left: cx + 'px', top: cy + 'px', width: cw + 'px', height: ch + 'px', background: colour(item.layer), filter: 'brightness(' + (1 - depth * .06) + ')' });
    if (cw > 30 && ch > 14) cell.textContent = item.name + '  ' + size(item.bytes);
    const where = [...trail.slice(1), item].map((n) => n.name).join('/');
    cell.onmouseenter = cell.onfocus = () => { note.textContent = where + ': ' + size(item.bytes) + ', mostly layer ' + item.layer; };
    cell.title = where;
    if (dir) { cell.onclick = () => draw([...trail, item]); if (depth < 3 && cw > 60 && ch > 50) place(item, [...trail, item], cx + 2, cy + 17, cw - 4, ch - 19, depth + 1); }
  }
}
const body = document.querySelector('#layers tbody');
for (const l of data.layers) {
  const row = el('tr', null, body);
  const first = el('td', '', row); const s = el('span', null, first); s.className = 'swatch'; s.style.background = colour(l.layer); first.append(String(l.layer));
  for (const t of [l.kind, l.files, l.directories, l.whiteouts, size(l.bytes), size(l.allocated), size(l.shadowedBytes), l.directory]) el('td', String(t), row);
}
for (const [id, key] of [['big', 'largest'], ['waste', 'largestShadowed']]) {
  const to = document.querySelector('#' + id + ' tbody');
  data.layers.flatMap((l) => l[key].map((f) => [f.bytes, l.layer, f.path])).sort((a, b) => b[0] - a[0]).slice(0, 20)
    .forEach(([b, l, p]) => { const r = el('tr', null, to); el('td', size(b), r); el('td', 'layer ' + l, r); el('td', p, r); });
}
document.getElementById('sum').textContent = data.visibleFiles + ' files are visible, ' + size(data.visibleBytes) + '; all layers hold ' + size(data.bytes) + ', of which ' + size(data.shadowedBytes) + ' are shadowed.';
if (data.tree) { draw([data.tree]); addEventListener('resize', () => draw([data.tree])); }
`;

const HEADS = ['layer', 'kind', 'files', 'dirs', 'whiteouts', 'size', 'on disk', 'shadowed', 'directory'];

/** The page. It loads nothing and sends nothing. */
export function layersPage(result: LayersResult): string {
  const head = HEADS.map((one) => `<th>${one}</th>`).join('');
  const list = (id: string, title: string): string =>
    `<h2>${title}</h2><table id="${id}"><thead><tr><th>size</th><th>layer</th><th>path</th></tr></thead><tbody></tbody></table>`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>plyfs layers</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>${STYLE}</style></head><body>
<h1>Layers</h1><p id="sum"></p>
<table id="layers"><thead><tr>${head}</tr></thead><tbody></tbody></table>
<h2>Merged view by size</h2><div id="path"></div><div id="map"></div><p id="note">Point at a cell; click a directory to enter it. The colour is the layer that most bytes come from.</p>
${list('big', 'Largest files')}
${list('waste', 'Largest shadowed files')}
<script type="application/json" id="data">${embedded(result)}</script>
<script>${SCRIPT}</script>
</body></html>
`;
}
