/**
 * Filtered searches over HTTP: one thread answers requests and writes, a pool of Workers searches,
 * each with a read-only handle of its own on the same file. docs/servers.md quotes it. The same on
 * Bun and on a Node that takes types out itself (22.18 or later).
 *
 *     bun examples/search-server.ts      # PORT, DATABASE and WORKERS choose where and how many
 *     curl -d '{"id":"1","text":"a cat on a mat","lang":"en","year":2024}' localhost:3000/documents
 *     curl 'localhost:3000/search?q=cats&lang=en&since=2020'
 */

import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Collection, Database, type Filter, type Hit, VectorLiteError } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

interface Doc {
  text: string;
  lang: string;
  year: number;
}

interface Question {
  vector: Float32Array;
  filter: Filter<Doc>;
}

type Answer = { hits: Hit<Doc>[] } | { code: string; message: string };

interface Reply {
  status: number;
  body: unknown;
}

const dimension = 512;

// #region worker
/** A Worker's part: the newest state of the file answers each question. */
function search(path: string): void {
  const db = new Database(path, { readonly: true });
  const docs = db.collection<Doc>("documents");
  parentPort?.on("message", (question: Question | "close") => {
    if (question === "close") {
      db.close();
      parentPort?.close();
      return;
    }
    const { vector, filter } = question;
    parentPort?.postMessage(answer(() => docs.search(vector, { k: 5, filter })));
  });
}

function answer(find: () => Hit<Doc>[]): Answer {
  try {
    return { hits: find() };
  } catch (error) {
    if (!(error instanceof VectorLiteError)) throw error;
    return { code: error.code, message: error.message };
  }
}
// #endregion

/** Workers that take questions in turn; each answers its own in the order of asking. */
class Pool {
  readonly #members: { worker: Worker; waiting: ((answer: Answer) => void)[] }[];
  readonly #ended: Promise<unknown>;

  constructor(path: string, count: number) {
    this.#members = Array.from({ length: count }, () => {
      const worker = new Worker(new URL(import.meta.url), { workerData: path });
      const waiting: ((answer: Answer) => void)[] = [];
      worker.on("message", (answer: Answer) => waiting.shift()?.(answer));
      // A Worker that fails takes the server with it: whoever started it starts it again.
      worker.on("error", (error) => {
        throw error;
      });
      return { worker, waiting };
    });
    this.#ended = Promise.all(
      this.#members.map(({ worker }) => new Promise((resolve) => worker.on("exit", resolve))),
    );
  }

  ask(question: Question): Promise<Answer> {
    const [first, ...others] = this.#members;
    if (first === undefined) throw new Error("The pool has no Workers.");
    const free = others.reduce((a, b) => (b.waiting.length < a.waiting.length ? b : a), first);
    return new Promise((resolve) => {
      free.waiting.push(resolve);
      free.worker.postMessage(question);
    });
  }

  async close(): Promise<void> {
    for (const { worker } of this.#members) worker.postMessage("close");
    await this.#ended;
  }
}

const embed = hashingEmbedder(dimension);

function vectorOf(text: string): Float32Array {
  return embed([text])[0] ?? new Float32Array(dimension);
}

async function replyTo(
  request: IncomingMessage,
  docs: Collection<Doc>,
  pool: Pool,
): Promise<Reply> {
  const { pathname, searchParams: asked } = new URL(request.url ?? "/", "http://localhost");
  switch (`${request.method} ${pathname}`) {
    case "POST /documents": {
      const { id, ...doc } = (await json(request)) as Doc & { id: string };
      docs.upsert(id, vectorOf(doc.text), doc);
      return { status: 201, body: { id, size: docs.size } };
    }
    case "GET /search": {
      const filter: Filter<Doc> = {};
      if (asked.has("lang")) filter.lang = asked.get("lang") ?? "";
      if (asked.has("since")) filter.year = { $gte: Number(asked.get("since")) };
      const found = await pool.ask({ vector: vectorOf(asked.get("q") ?? ""), filter });
      return "hits" in found ? { status: 200, body: found.hits } : { status: 400, body: found };
    }
    default:
      return { status: 404, body: { message: "There are POST /documents and GET /search." } };
  }
}

/** What the caller did wrong has a code; what else goes wrong is none of its business. */
function replyToError(error: unknown): Reply {
  if (error instanceof VectorLiteError) {
    return { status: 400, body: { code: error.code, message: error.message } };
  }
  if (error instanceof SyntaxError) return { status: 400, body: { message: error.message } };
  return { status: 500, body: { message: "failed" } };
}

async function serve(path: string, workers: number): Promise<void> {
  const db = new Database(path, { durability: "normal" });
  const docs = db.collection<Doc>("documents", { dimension, model: hashingModel });
  const pool = new Pool(path, workers);
  const server = createServer(async (request, response) => {
    const { status, body } = await replyTo(request, docs, pool).catch(replyToError);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
  });
  server.listen(Number(process.env["PORT"] ?? 3000), "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  process.stdout.write(`listening on http://127.0.0.1:${port}/\n`);
  await once(process, "SIGTERM");
  const closed = once(server, "close");
  server.close(); // answers what was asked, and takes nothing more
  server.closeIdleConnections();
  await closed;
  await pool.close();
  db.close();
}

if (isMainThread) {
  await serve(process.env["DATABASE"] ?? "documents.vl", Number(process.env["WORKERS"] ?? 4));
} else {
  search(workerData as string);
}
