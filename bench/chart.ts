/**
 * Draws queries a second against recall as an SVG, without a library for it.
 *
 * Both axes are logarithmic, that of recall in what is missed, so that 0.99 and 0.999 are as far
 * apart as 0.9 and 0.99. The colours do on a light and on a dark page.
 */

export interface Series {
  name: string;
  /** Series of one library share a colour. */
  library: string;
  approximate: boolean;
  /** Tells series of one library apart. */
  dashed: boolean;
  points: readonly { recall: number; qps: number }[];
}

const width = 900;
const height = 520;
const plot = { left: 70, right: 620, top: 50, bottom: 455 };
/** What recall 1 is drawn as: missing one in two thousand. */
const missedLeast = 0.0005;
const recallLeast = 0.7;
const recallTicks = [0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1];
const colours = ["#e5484d", "#3e82d4", "#2f9e6e", "#9a6dd7", "#b7791f", "#1199a8", "#8b8d98"];

/** 0 to 1 along the axis of recall. */
function along(recall: number): number {
  const place = (value: number): number => -Math.log10(1 - value + missedLeast);
  return (place(recall) - place(recallLeast)) / (place(1) - place(recallLeast));
}

function text(x: number, y: number, words: string, more = ""): string {
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${words}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, more: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" ${more}/>`;
}

/** A filled dot for a search that may miss something, a ring for one that compares everything. */
function dot(x: number, y: number, colour: string, filled: boolean): string {
  const paint = filled ? `fill="${colour}"` : `fill="none" stroke="${colour}" stroke-width="2"`;
  return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="4" ${paint}/>`;
}

interface Scale {
  x: (recall: number) => number;
  y: (qps: number) => number;
  decades: readonly number[];
}

function scaleFor(series: readonly Series[]): Scale {
  const logs = series.flatMap(({ points }) => points.map(({ qps }) => Math.log10(qps)));
  const least = Math.floor(Math.min(...logs));
  const most = Math.max(Math.ceil(Math.max(...logs)), least + 1);
  const part = (qps: number): number => (Math.log10(qps) - least) / (most - least);
  return {
    x: (recall) => plot.left + along(Math.max(recall, recallLeast)) * (plot.right - plot.left),
    y: (qps) => plot.bottom - part(qps) * (plot.bottom - plot.top),
    decades: Array.from({ length: most - least + 1 }, (_, at) => 10 ** (least + at)),
  };
}

function axes({ x, y, decades }: Scale): string[] {
  const parts: string[] = [];
  for (const tick of recallTicks) {
    parts.push(line(x(tick), plot.top, x(tick), plot.bottom, 'class="grid"'));
    parts.push(text(x(tick), plot.bottom + 18, `${tick}`, 'text-anchor="middle"'));
  }
  for (const decade of decades) {
    parts.push(line(plot.left, y(decade), plot.right, y(decade), 'class="grid"'));
    const label = decade >= 1 ? decade.toLocaleString("en") : `${decade}`;
    parts.push(text(plot.left - 8, y(decade) + 4, label, 'text-anchor="end"'));
    if (decade === decades.at(-1)) continue;
    for (let times = 2; times < 10; times++) {
      const at = y(decade * times);
      parts.push(line(plot.left - 3, at, plot.left, at, 'class="grid"'));
    }
  }
  const middle = (plot.left + plot.right) / 2;
  parts.push(text(middle, plot.bottom + 42, "recall@10", 'text-anchor="middle"'));
  const turned = `transform="rotate(-90 16 ${(plot.top + plot.bottom) / 2})"`;
  const between = (plot.top + plot.bottom) / 2;
  parts.push(text(16, between, "queries a second", `text-anchor="middle" ${turned}`));
  return parts;
}

/** Without points that another one of the series beats in both. */
function best({ points }: Series): Series["points"] {
  return points.filter(
    (point) => !points.some((other) => other.recall >= point.recall && other.qps > point.qps),
  );
}

function curve(series: Series, colour: string, { x, y }: Scale): string[] {
  const shown = best(series).filter(({ recall }) => recall >= recallLeast);
  const places = shown.map(({ recall, qps }) => [x(recall), y(qps)] as const);
  const path = places.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join(" ");
  const dashes = series.dashed ? ' stroke-dasharray="6 4"' : "";
  const stroke = `fill="none" stroke="${colour}" stroke-width="2"${dashes}`;
  const drawn = places.length > 1 ? [`<polyline points="${path}" ${stroke}/>`] : [];
  return [...drawn, ...places.map(([px, py]) => dot(px, py, colour, series.approximate))];
}

function legend(series: Series, colour: string, at: number): string[] {
  const y = plot.top + 8 + at * 24;
  const x = plot.right + 25;
  const dashes = series.dashed ? ' stroke-dasharray="6 4"' : "";
  const stroke = `stroke="${colour}" stroke-width="2"${dashes}`;
  const rule = series.points.length > 1 ? [line(x, y, x + 30, y, stroke)] : [];
  return [...rule, dot(x + 15, y, colour, series.approximate), text(x + 40, y + 4, series.name)];
}

export function draw(title: string, note: string, all: readonly Series[]): string {
  const scale = scaleFor(all);
  const libraries = [...new Set(all.map(({ library }) => library))];
  const colourOf = (library: string): string => {
    return colours[libraries.indexOf(library) % colours.length] ?? "";
  };
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img">`,
    `<title>${title}</title>`,
    "<style>text{font:13px system-ui,sans-serif;fill:#57606a}.grid{stroke:#8b949e;" +
      "stroke-opacity:.35}.head{font-weight:600}@media(prefers-color-scheme:dark){" +
      "text{fill:#adbac7}}</style>",
    text(plot.left, 24, title, 'class="head"'),
    ...axes(scale),
    // The first ones on top of the others.
    ...[...all].reverse().flatMap((series) => curve(series, colourOf(series.library), scale)),
    ...all.flatMap((series, at) => legend(series, colourOf(series.library), at)),
    text(plot.left, height - 5, note, 'font-size="11"'),
    "</svg>",
  ];
  return `${parts.join("\n")}\n`;
}
