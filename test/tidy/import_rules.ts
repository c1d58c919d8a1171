/**
 * Who may import whom. An import points downward or sideways, never upward and never in a circle.
 *
 * The two tables are the architecture in executable form: a new file is entered here, in the layer
 * whose words it speaks.
 */

import { posix } from "node:path";
import type { Problem, Rule, SourceFile } from "./tree.ts";

interface Layer {
  name: string;
  files: RegExp;
}

/** A layer of one folder's files, by their names without an ending. */
function layer(name: string, folder: string, files: string): Layer {
  const alternatives = files.split(" ").join("|").replaceAll("/*", "/.*");
  return { name, files: new RegExp(`^${folder}/(${alternatives})\\.(zig|ts)$`) };
}

/** From the bottom up. */
const zigLayers: readonly Layer[] = [
  layer(
    "pure",
    "zig",
    "format limits checksum hash soundness sentence top_k hot_cache metrics held_states " +
      "document expiry recency departures filter text_marks row_set column_block " +
      "column_builder filter_columns loose_columns metadata_writer kernels/*",
  ),
  layer("os", "zig", "os/*"),
  layer(
    "storage",
    "zig",
    "errors damage ledger head_audit page_reader page_cache page_writer roots image " +
      "free_space creation snapshot_locks",
  ),
  layer(
    "structures",
    "zig",
    "key_index page_array known_columns amendments collection_state read_window rows " +
      "vector_run reach view adoption write_session transaction codes open_block " +
      "code_writer open_columns column_reader column_writer appender amender tree_walk " +
      "row_audit collection_audit older_root_audit wreck salvage_finds salvage_walk " +
      "salvage_roots salvage_scan",
  ),
  layer(
    "product",
    "zig",
    "database scope access lookup compaction selection eviction room row_filter matches " +
      "live_filter burial purge arguments batch row_writer metadata_change hot_vectors " +
      "collection_options catalogue search_query search_cost look exact_scan candidates " +
      "code_reader code_unit code_worth code_scan search search_request entries collection " +
      "search_job backup verify salvage_rows salvage job compact vectorlite",
  ),
  layer("boundary", "zig", "c_api c_api/* abi_gen"),
];

const tsLayers: readonly Layer[] = [
  layer("vocabulary", "src", "errors types filter typed-arrays utf8 byte-writer"),
  layer("native", "src", "native/*"),
  layer(
    "pieces",
    "src",
    "status options vectors keys metadata metadata-reader filter-compiler records entries " +
      "lifetime turns rest connection new-file model-identity matryoshka hashed-keys " +
      "stored-identity",
  ),
  layer(
    "operations",
    "src",
    "open scan search background-search recall write names jobs compact salvage serverless " +
      "snapshot-scope transfer until-aborted cache-mode shrink cache-file cache-namespace " +
      "channels entry-facts sweeper " +
      "computed passengers seats boarder own-flight awaited-flight flights open-cache",
  ),
  layer("classes", "src", "cache database collection snapshot"),
  layer("index", "src", "index"),
  layer("built on the public API", "src", "sdk/*"),
];

interface Import {
  from: string;
  to: string;
  line: number;
}

function zigImports(file: SourceFile): Import[] {
  return file.text.split("\n").flatMap((text, index) => {
    if (/^\s*\/\//.test(text)) return [];
    return [...text.matchAll(/@import\("([^"]+\.zig)"\)/g)].map((match) => ({
      from: file.path,
      to: posix.join(posix.dirname(file.path), match[1] ?? ""),
      line: index + 1,
    }));
  });
}

function tsImports(file: SourceFile): Import[] {
  const pattern = /^(?:import|export)\b[^;]*?from "(\.[^"]+)"|^import "(\.[^"]+)"/gm;
  return [...file.text.matchAll(pattern)].map((match) => ({
    from: file.path,
    to: posix.join(posix.dirname(file.path), match[1] ?? match[2] ?? ""),
    line: file.text.slice(0, match.index).split("\n").length,
  }));
}

/** Imports that carry values; types alone make no circle at run time. */
function isTypeOnly(file: SourceFile, line: number): boolean {
  return /^(import|export) type\b/.test(file.text.split("\n")[line - 1] ?? "");
}

function layerOf(layers: readonly Layer[], path: string): number {
  return layers.findIndex(({ files }) => files.test(path));
}

function upwardImports(layers: readonly Layer[], imports: readonly Import[]): Problem[] {
  return imports.flatMap(({ from, to, line }) => {
    const [lower, upper] = [layerOf(layers, from), layerOf(layers, to)];
    if (lower === -1 || upper === -1 || upper <= lower) return [];
    const [here, there] = [layers[lower]?.name, layers[upper]?.name];
    const message = `${here} imports ${to} of ${there}: move what both need down a layer`;
    return [{ path: from, line, message }];
  });
}

function withoutLayer(layers: readonly Layer[], files: readonly SourceFile[]): Problem[] {
  return files
    .filter(({ path }) => layerOf(layers, path) === -1)
    .map(({ path }) => ({
      path,
      line: 0,
      message: "in no layer: enter it in the table of test/tidy/import_rules.ts",
    }));
}

function circles(imports: readonly Import[]): Problem[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of imports) targets.set(from, [...(targets.get(from) ?? []), to]);
  const problems: Problem[] = [];
  const finished = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) {
      const circle = [...trail.slice(trail.indexOf(path)), path].join(" -> ");
      problems.push({ path, line: 0, message: `circle ${circle}: move what both need down` });
    } else if (!finished.has(path)) {
      for (const to of targets.get(path) ?? []) visit(to, [...trail, path]);
      finished.add(path);
    }
  };
  for (const path of targets.keys()) visit(path, []);
  return problems;
}

export const zigLayering: Rule = (files) => {
  const engine = files.filter(({ path }) => /^zig\/.*\.zig$/.test(path));
  const imports = engine.flatMap(zigImports);
  const boundary = zigLayers.length - 1;
  const byPath = imports
    .filter(({ from, to }) => {
      return layerOf(zigLayers, from) === boundary && layerOf(zigLayers, to) !== boundary;
    })
    .map(({ from, line }) => ({
      path: from,
      line,
      message: 'the boundary imports the engine by name: @import("vectorlite")',
    }));
  return [
    ...withoutLayer(zigLayers, engine),
    ...upwardImports(zigLayers, imports),
    ...byPath,
    ...circles(imports),
  ];
};

export const tsLayering: Rule = (files) => {
  const sources = files.filter(({ path }) => /^src\/.*\.ts$/.test(path));
  const imports = sources.flatMap(tsImports);
  const values = sources.flatMap((file) =>
    tsImports(file).filter(({ line }) => !isTypeOnly(file, line)),
  );
  const inside = imports
    .filter(({ from, to }) => {
      const isNative = (path: string): boolean => path.startsWith("src/native/");
      return isNative(to) && !isNative(from) && to !== "src/native/native.ts";
    })
    .map(({ from, to, line }) => ({
      path: from,
      line,
      message: `${to} is private to src/native/: import src/native/native.ts`,
    }));
  return [
    ...withoutLayer(tsLayers, sources),
    ...upwardImports(tsLayers, values),
    ...inside,
    ...circles(values),
  ];
};

/** What `zig build` compiles; every other file has to be imported, directly or not, by one. */
const zigRoots: readonly RegExp[] = [
  /^zig\/(vectorlite|c_api|abi_gen)\.zig$/,
  /^zig\/kernels\/(tier_object|kernels)\.zig$/,
  /^(test\/zig|bench)\/\w+\.zig$/,
];

export const zigReachable: Rule = (files) => {
  const sources = files.filter(({ path }) => /^(zig|test|bench)\/.*\.zig$/.test(path));
  const targets = new Map(sources.map((file) => [file.path, zigImports(file)]));
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { to } of targets.get(path) ?? []) visit(to);
  };
  for (const { path } of sources) {
    if (zigRoots.some((root) => root.test(path))) visit(path);
  }
  return sources
    .filter(({ path }) => !reached.has(path))
    .map(({ path }) => ({
      path,
      line: 0,
      message: "no root imports it, so its tests never run: import it or remove it",
    }));
};
