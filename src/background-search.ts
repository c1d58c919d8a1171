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
import { nodeApi, Status, searchReportFields } from "./native/native.ts";
import { metrics, openRecords } from "./open.ts";
import type { Records } from "./records.ts";
import { type FoundHit, makeRoom, type Room, readHits, type SearchPlan } from "./search.ts";
import { SnapshotScope } from "./snapshot-scope.ts";

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

/** From the call, which takes a snapshot, to the end, which lets it go whatever happens. */
class BackgroundSearch {
  readonly #plan: SearchPlan;
  readonly #snapshot: SnapshotScope | undefined;
  readonly #records: Records;
  readonly #room: Room;
  readonly #job: Handle;

  constructor(records: Records, queries: Float32Array, count: number, plan: SearchPlan) {
    this.#plan = plan;
    const isOfSnapshot = records.scope.id !== records.connection.id;
    if (!isOfSnapshot) checkNoTransaction(records);
    records.checkOpen();
    this.#snapshot = isOfSnapshot ? undefined : new SnapshotScope(records.connection);
    try {
      this.#records = this.#snapshot === undefined ? records : past(records, this.#snapshot);
      this.#room = makeRoom(this.#records, count, plan);
      this.#job = openJob(this.#records, queries, this.#room, plan);
    } catch (error) {
      this.#snapshot?.close();
      throw error;
    }
  }

  async finish(): Promise<FoundHit[][]> {
    const { connection } = this.#records;
    try {
      await run(this.#records, this.#job);
      const { native } = connection;
      const { hits, counts } = this.#room;
      const status = native.vl_search_result(
        this.#job.id,
        hits,
        hits.length,
        counts,
        counts.length,
        reportOut,
      );
      if (status !== Status.OK) throw this.#records.failure(status);
      const reading = readHits(this.#records, this.#room, this.#plan);
      for (;;) {
        const { done, value } = reading.next();
        if (done) return value;
        await new Promise((resolve) => setImmediate(resolve));
      }
    } finally {
      this.#job.close();
      this.#snapshot?.close();
    }
  }
}

/** A snapshot has only what is committed. */
function checkNoTransaction({ connection, info }: Records): void {
  if (!connection.inTransaction) return;
  throw new VectorLiteError(
    "ERR_INVALID_ARGUMENT",
    `${info.subject} was to be searched in the background inside a transaction, whose writes ` +
      "such a search does not see; use search() there, or call it after the transaction.",
  );
}

/** The same collection in the state of a snapshot. */
function past(records: Records, snapshot: SnapshotScope): Records {
  const { info, dimension } = records;
  const found = openRecords(snapshot, {
    name: info.name,
    subject: info.subject,
    dimension,
    metric: metrics.indexOf(info.metric),
    model: info.model,
    create: false,
    cacheSize: 0,
  });
  if (found === undefined) throw records.failure(Status.CLOSED);
  return found;
}

function openJob(records: Records, queries: Float32Array, room: Room, plan: SearchPlan): Handle {
  const status = records.native.vl_search_open(
    records.id,
    queries,
    room.counts.length * records.dimension,
    room.wanted,
    plan.threshold,
    plan.exact ? 1 : 0,
    plan.threads,
    handleOut,
  );
  if (status !== Status.OK) throw records.failure(status);
  return new Handle(handleOut[0] ?? 0);
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
    status = await inTurn(connection, () => library.vl_job_run(job.id, turnMs));
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
