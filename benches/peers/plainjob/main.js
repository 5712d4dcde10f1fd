// plainjob as a contestant, over better-sqlite3, as its README has it. What it is asked and how it answers is written
// in ../shared/src/lib.rs; the workloads are those of ../shared/src/workloads.rs.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import Database from "better-sqlite3";
import { better, defineQueue, defineWorker, JobStatus } from "plainjob";

const KIND = "nothing";
const BULK = 10_000;
const BEHIND = 100_000;
const LONG_ENOUGH_MS = 3_000;
const A_FEW = 5;
const TOMORROW_MS = 24 * 3600 * 1000;
const LEVELS = ["OFF", "NORMAL", "FULL", "EXTRA"];
const quiet = { error: console.error, warn: console.error, info: () => {}, debug: () => {} };

class Skipped extends Error {}

function open(file, setting) {
  if (setting === "own") throw new Skipped("its_own_setting_is_normal");
  const database = new Database(file);
  const queue = defineQueue({ connection: better(database), logger: quiet });
  // It has set NORMAL when it was made.
  if (setting === "full") database.pragma("synchronous = FULL");
  const journal = database.pragma("journal_mode", { simple: true });
  const level = LEVELS[database.pragma("synchronous", { simple: true })];
  const settings = `journal_mode=${journal}, synchronous=${level}`;
  if (journal !== "wal" || level !== setting.toUpperCase()) {
    throw new Error(`${setting} was asked for, and it is ${settings}`);
  }
  return { database, queue, settings };
}

function about({ database, settings }) {
  const own = JSON.parse(readFileSync(new URL("node_modules/plainjob/package.json", import.meta.url)));
  const sqlite = database.prepare("SELECT sqlite_version()").pluck().get();
  return `plainjob ${own.version}, node ${process.versions.node}, SQLite ${sqlite}, ${settings}`;
}

function fill({ queue }, jobs, options = {}) {
  for (let left = jobs; left > 0; left -= BULK) {
    queue.addMany(KIND, new Array(Math.min(left, BULK)).fill(null), options);
  }
}

function expect({ queue }, pending, done) {
  const is = { pending: queue.countJobs({ status: JobStatus.Pending }), done: queue.countJobs({ status: JobStatus.Done }) };
  const all = queue.countJobs();
  if (is.pending !== pending || is.done !== done || all !== pending + done) {
    throw new Error(`${pending} jobs should wait and ${done} be done: ${JSON.stringify(is)} of ${all}`);
  }
}

/** Enqueues a second, if they are all there; one was enqueued before the time began. */
function perSecond(peer, enqueued, took) {
  expect(peer, enqueued + 1, 0);
  return [enqueued / (took / 1e3)];
}

function enqueueOne(peer, operations) {
  peer.queue.add(KIND, null);
  const begin = performance.now();
  let enqueued = 0;
  while (enqueued < operations && performance.now() - begin < LONG_ENOUGH_MS) {
    peer.queue.add(KIND, null);
    enqueued += 1;
  }
  return perSecond(peer, enqueued, performance.now() - begin);
}

function enqueueBulk(peer, operations) {
  peer.queue.add(KIND, null);
  const begin = performance.now();
  fill(peer, operations);
  return perSecond(peer, operations, performance.now() - begin);
}

/** So many workers, which take turns in this one thread. Returns what stops them. */
function start({ queue }, workers, handler) {
  const all = Array.from({ length: workers }, () => defineWorker(KIND, handler, { queue, logger: quiet }));
  const running = all.map((worker) => worker.start());
  return async () => {
    await Promise.all(all.map((worker) => worker.stop()));
    await Promise.all(running);
  };
}

/** Jobs a second, from the first call of the handler to the last. */
async function jobs(peer, workers, wanted, before = { pending: 0, done: 0 }) {
  fill(peer, wanted);
  let calls = 0;
  let first, latest, all;
  const isOver = new Promise((resolve) => (all = resolve));
  const longEnough = setTimeout(all, LONG_ENOUGH_MS);
  const stop = start(peer, workers, async () => {
    calls += 1;
    latest = performance.now();
    first ??= latest;
    if (calls === wanted) all();
  });
  await isOver;
  clearTimeout(longEnough);
  await stop();
  expect(peer, before.pending + wanted - calls, before.done + calls);
  return [(calls - 1) / ((latest - first) / 1e3)];
}

/** Copies the row that one finished job has left. */
async function behindFinished(peer, workers, wanted) {
  await jobs(peer, 1, 1);
  const copy = peer.database.prepare(`
    WITH RECURSIVE copies (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copies WHERE n < ?)
    INSERT INTO plainjob_jobs (type, data, status, failed_at, error, next_run_at, created_at)
    SELECT type, data, status, failed_at, error, next_run_at, created_at
    FROM plainjob_jobs, copies
    WHERE status = ${JobStatus.Done}`);
  copy.run(BEHIND - 1);
  return jobs(peer, workers, wanted, { pending: 0, done: BEHIND });
}

function behindFuture(peer, workers, wanted) {
  fill(peer, BEHIND, { delay: TOMORROW_MS });
  return jobs(peer, workers, wanted, { pending: BEHIND, done: 0 });
}

/** Microseconds until the handler is called: the median and the 99th of a hundred. */
async function latency(peer, workers, wanted) {
  let started;
  const stop = start(peer, workers, async () => started(performance.now()));
  const begin = performance.now();
  const took = [];
  while (took.length <= wanted && (took.length <= A_FEW || performance.now() - begin < LONG_ENOUGH_MS)) {
    await sleep(3);
    const start = new Promise((resolve) => (started = resolve));
    const begin = performance.now();
    peer.queue.add(KIND, null);
    took.push(((await start) - begin) * 1e3);
  }
  await stop();
  expect(peer, 0, took.length);
  // The first one waited for the workers to begin.
  const sorted = took.slice(1).sort((one, other) => one - other);
  return [0.5, 0.99].map((part) => sorted[Math.round((sorted.length - 1) * part)]);
}

function figures(peer, workload, workers, operations) {
  switch (workload) {
    case "enqueue_one":
      return enqueueOne(peer, operations);
    case "enqueue_tasks":
      throw new Skipped("a_call_holds_its_only_thread");
    case "enqueue_bulk":
      return enqueueBulk(peer, operations);
    case "jobs":
      return jobs(peer, workers, operations);
    case "batch":
      throw new Skipped("has_no_batches_by_hand");
    case "behind_finished":
      return behindFinished(peer, workers, operations);
    case "behind_future":
      return behindFuture(peer, workers, operations);
    case "latency":
      return latency(peer, workers, operations);
    default:
      throw new Error(`the workload ${workload} is not known: WORKLOAD SETTING WORKERS OPERATIONS FOLDER`);
  }
}

const patience = setTimeout(() => {
  console.error("plainjob: there is no answer after 300 s");
  process.exit(1);
}, 300_000);
patience.unref();
const [workload, setting, workers, operations, folder] = process.argv.slice(2);
try {
  const peer = open(join(folder, "queue.db"), setting);
  const answer =
    workload === "about" ? about(peer) : (await figures(peer, workload, Number(workers), Number(operations))).join(" ");
  peer.queue.close();
  console.log(answer);
} catch (error) {
  if (!(error instanceof Skipped)) throw error;
  console.log(`skipped reason=${error.message}`);
  process.exit();
}
