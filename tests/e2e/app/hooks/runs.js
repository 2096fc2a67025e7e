// Every run of a webhook handler is written down here, before the handler looks at anything: the tests ask whether
// a handler ran at all, not whether it was content. One record for the whole process, so it hangs on globalThis.
import { createHash } from "node:crypto";

const state = (globalThis.hookwardRuns ??= { runs: [], aborted: 0 });

export function started(handler, method, target) {
  const run = { handler, method, target };
  state.runs.push(run);
  return run;
}

export function read() {
  const counts = {};
  for (const { handler } of state.runs) counts[handler] = (counts[handler] ?? 0) + 1;
  return { total: state.runs.length, counts, runs: state.runs, upgrades: globalThis.hookwardUpgrades };
}

export function reset() {
  state.runs.length = 0;
}

export function clientLeft() {
  state.aborted += 1;
}

export function abortedRequests() {
  return state.aborted;
}

export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

// The raw bytes of a Node request, as they arrived.
export async function rawBody(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return Buffer.concat(chunks);
}
