// Writes down when each run begins and ends, and takes as long and answers as the event says.
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

export async function POST(request) {
  const { data } = await request.json();
  const note = (what) => appendFileSync(process.env.RUNS_FILE, `${JSON.stringify({ id: data.id, ...what })}\n`);
  const runs = (globalThis.slowRuns ??= new Map());
  const run = runs.get(data.id) ?? 0;
  runs.set(data.id, run + 1);
  note({ begins: run });
  await sleep(data.delay);
  const status = run < data.failures ? 500 : 200;
  note({ ends: run, status });
  return new Response(`run ${run} of ${data.id}`, { status });
}
