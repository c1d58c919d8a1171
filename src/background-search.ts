/**
 * Searches that the event loop does not wait for: a job looks at a snapshot of the call, on a
 * thread of the runtime's pool, which other calls on the database do not wait for either.
 *
 * @module
 */

import type { Connection } from "./connection.ts";
import { VectorLiteError } from "./errors.ts";
import { runJob } from "./jobs.ts";
import { Handle } from "./lifetime.ts";
import { type NodeApiLibrary, nodeApi, Status, searchReportFields } from "./native/native.ts";
import type { Records } from "./records.ts";
import { type FoundHit, makeRoom, type Room, readHits, type SearchPlan } from "./search.ts";

/** What a thread of the pool does before it asks whether to go on: Node waits for it to end. */
const turnMs = 50;

const handleOut = new Uint32Array(1);
const reportOut = new Float64Array(searchReportFields.length);

/** The hits of one query as `searchOne` finds them now. The query is copied before it returns. */
export async function searchOneInBackground(
  records: Records,
  query: unknown,
  plan: SearchPlan,
  name: string,
): Promise<FoundHit[]> {
  const copy = records.lendCopy(query, name);
  const search = new BackgroundSearch(records, copy, 1, plan);
  records.giveBack(copy);
  const [hits] = await search.finish();
  return hits ?? [];
}

/** The hits of each query as `search` finds them now. The queries are copied before it returns. */
export async function searchInBackground(
  records: Records,
  queries: Float32Array,
  count: number,
  plan: SearchPlan,
): Promise<FoundHit[][]> {
  if (count > 0) return new BackgroundSearch(records, queries, count, plan).finish();
  records.connection.checkOpen();
  return [];
}

/** From the call, which makes a job of the state of that moment, to the end, which closes it. */
class BackgroundSearch {
  readonly #records: Records;
  readonly #plan: SearchPlan;
  readonly #room: Room;
  readonly #job: Handle;

  constructor(records: Records, queries: Float32Array, count: number, plan: SearchPlan) {
    checkNoTransaction(records);
    this.#records = records;
    this.#plan = plan;
    this.#room = makeRoom(records, count, plan);
    const status = records.native.vl_search_open(
      records.id,
      queries,
      count * records.dimension,
      this.#room.wanted,
      plan.threshold,
      plan.exact ? 1 : 0,
      plan.threads,
      plan.filter.bytes,
      plan.filter.length,
      handleOut,
    );
    if (status !== Status.OK) throw records.failure(status);
    this.#job = new Handle(handleOut[0] ?? 0);
  }

  async finish(): Promise<FoundHit[][]> {
    const { native } = this.#records;
    const { hits, counts } = this.#room;
    try {
      await run(this.#records, this.#job);
      const status = native.vl_search_result(
        this.#job.id,
        hits,
        hits.length,
        counts,
        counts.length,
        reportOut,
      );
      if (status !== Status.OK) throw this.#records.failure(status);
      const reading = readHits(this.#records, this.#room, this.#plan, (...buffers) =>
        native.vl_search_fetch(this.#job.id, ...buffers),
      );
      for (;;) {
        const { done, value } = reading.next();
        if (done) return value;
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.#job.close();
    }
  }
}

/** A job of the newest state has only what is committed. */
function checkNoTransaction({ scope, connection, info }: Records): void {
  if (!connection.inTransaction || scope.id !== connection.id) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${info.subject} was to be searched in the background inside a transaction, whose writes ` +
      "such a search does not see; use search() there, or call it after the transaction.",
  );
}

/** Where the library cannot run it, the event loop does, in slices. */
async function run({ connection, info }: Records, job: Handle): Promise<void> {
  const library = nodeApi();
  if (library === undefined) {
    await runJob(connection, job, info.subject, undefined);
    return;
  }
  let status: number = Status.OK;
  // Of a failure the job's result tells.
  while (status === Status.OK) {
    status = await inTurn(connection, () => runTurn(library, job, info.subject));
  }
}

async function runTurn(library: NodeApiLibrary, job: Handle, subject: string): Promise<number> {
  try {
    return await library.vl_job_run(job.id, turnMs);
  } catch (error) {
    throw new VectorLiteError(
      "ERR_OUT_OF_MEMORY",
      `${subject} could not be searched in the background: the runtime gave no thread for it ` +
        `(${error instanceof Error ? error.message : String(error)}). Try again, or use search().`,
    );
  }
}

/** When the last turn of each connection's searches is over. */
const last = new WeakMap<Connection, Promise<unknown>>();

/**
 * The searches of a connection take turns: two at once would wait for each other in any case, and
 * threads of the runtime's pool, which are few, would wait with them.
 */
function inTurn<Result>(connection: Connection, turn: () => Promise<Result>): Promise<Result> {
  const own = (last.get(connection) ?? Promise.resolve()).then(turn);
  last.set(
    connection,
    own.catch(() => undefined),
  );
  return own;
}
