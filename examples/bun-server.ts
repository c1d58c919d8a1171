/**
 * A semantic search server in one process and one file.
 *
 *     bun examples/bun-server.ts              # PORT and DATABASE choose where
 *     curl -d '{"id":"1","text":"a cat on a mat","lang":"en"}' localhost:3000/documents
 *     curl 'localhost:3000/search?q=cats'
 */

import { Database, VectorLiteError } from "vectorlite";
import { hashingEmbedder, hashingModel } from "./hashing-embedder.ts";

interface Doc {
  text: string;
  lang: string;
}

const dimension = 512;
const embed = hashingEmbedder(dimension);
const db = new Database(process.env["DATABASE"] ?? ":memory:", { durability: "normal" });
const docs = db.collection<Doc>("documents", { dimension, model: hashingModel });

const server = Bun.serve({
  port: Number(process.env["PORT"] ?? 3000),
  routes: {
    "/documents": {
      POST: async (request) => {
        const { id, text, lang = "" } = (await request.json()) as Doc & { id: string };
        docs.upsert(id, embed([text])[0] ?? [], { text, lang });
        return Response.json({ id, size: docs.size }, { status: 201 });
      },
    },
    "/documents/:id": {
      GET: ({ params }) => {
        const found = docs.get(params.id);
        return found ? Response.json(found.metadata) : new Response("not found", { status: 404 });
      },
      DELETE: ({ params }) => Response.json({ deleted: docs.delete(params.id) }),
    },
    "/search": {
      GET: (request) => {
        const query = new URL(request.url).searchParams.get("q") ?? "";
        return Response.json(docs.search(embed([query])[0] ?? [], { k: 5 }));
      },
    },
  },
  error(error) {
    if (!(error instanceof VectorLiteError)) return new Response("failed", { status: 500 });
    return Response.json({ code: error.code, message: error.message }, { status: 400 });
  },
});

process.stdout.write(`listening on ${server.url}\n`);
process.on("SIGTERM", () => {
  server.stop(true);
  db.close();
});
