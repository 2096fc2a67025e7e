// A delivery runs once: senders that give up, deadlines that pass, retries, an app that fails and restarts, a hookward that is
// killed. What happened is read from the file that the app's handler writes.
import assert from "node:assert/strict";
import http from "node:http";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { newId, svixHeaders } from "./lib/deliveries.mjs";
import { noHookward, startApp, startHookward, upstreamOf } from "./lib/processes.mjs";

const path = "/api/slow";
const folder = mkdtempSync(join(tmpdir(), "runs-"));
const file = join(folder, "runs.jsonl");
process.env.RUNS_FILE = file;
after(() => rmSync(folder, { recursive: true, force: true }));

let app;
before(async () => (app = await startApp("base")));
after(() => app?.stop());

// As a sender posts it. It hangs up after `patience` ms, and then knows no status.
function post(door, id, data, patience) {
  const body = JSON.stringify({ type: "user.created", data: { id, ...data } });
  return new Promise((resolve) => {
    const request = http.request(
      { host: door.host, port: door.port, path, method: "POST", agent: false, headers: { "content-type": "application/json", ...svixHeaders(body, { id }) } },
      (answer) => {
        let text = "";
        answer.on("data", (piece) => (text += piece));
        answer.on("end", () => resolve({ status: answer.statusCode, text }));
        answer.on("error", () => resolve({}));
      },
    );
    request.on("error", () => resolve({}));
    setTimeout(() => request.destroy(), patience).unref();
    request.end(body);
  });
}

// Svix's pace, faster: again until it hears of a success.
async function send(door, id, data, patience, pauses) {
  for (const pause of [0, ...pauses]) {
    await sleep(pause);
    const answer = await post(door(), id, data, patience());
    if (answer.status >= 200 && answer.status < 300) return answer;
  }
  return {};
}

function runsOf(id) {
  return readFileSync(file, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line)).filter((line) => line.id === id);
}

// Never two at once, never one after a success.
function assertInOrder(id) {
  let running = false;
  let done = false;
  for (const line of runsOf(id)) {
    if ("begins" in line) {
      assert.ok(!running, `${id} runs twice at once: ${JSON.stringify(runsOf(id))}`);
      assert.ok(!done, `${id} runs after it was done: ${JSON.stringify(runsOf(id))}`);
      running = true;
    } else {
      running = false;
      done = line.status === 200;
    }
  }
  return done;
}

function config(more = {}) {
  return {
    server: { upstream: upstreamOf(app) },
    limits: { upstream_max: "40s" },
    replay: { lease: "1s", wait: "1s" },
    routes: { slow: { path, provider: "clerk", deadline: "2s", ...more } },
  };
}

const random = (least, most) => Math.round(least + Math.random() * (most - least));

describe("through hookward", { skip: noHookward }, () => {
  let door;
  before(async () => (door = await startHookward(config())));
  after(() => door?.stop());

  test("senders that leave, deadlines that pass and handlers that fail: each event runs to one success", async () => {
    writeFileSync(file, "");
    const events = Array.from({ length: 120 }, (_, index) => ({
      id: newId(),
      // Some take far longer than the sender or the deadline waits.
      data: { delay: index % 20 === 0 ? random(8000, 20000) : index % 3 === 0 ? random(1500, 4000) : random(0, 600), failures: index % 4 === 0 ? 1 : 0 },
    }));
    const pauses = [50, 500, 1000, 2000, 4000, 6000, 8000, 8000, 10000];
    await Promise.all(
      events.flatMap(({ id, data }) => {
        const patience = () => (Math.random() < 0.3 ? random(20, 1500) : 3000);
        const first = send(() => door, id, data, patience, pauses);
        // As with two endpoints of one URL: some events come twice at the same moment.
        return Math.random() < 0.3 ? [first, send(() => door, id, data, patience, pauses)] : [first];
      }),
    );
    for (const { id, data } of events) {
      assert.ok(assertInOrder(id), `${id} was not done`);
      const begun = runsOf(id).filter((line) => "begins" in line).length;
      assert.equal(begun, data.failures + 1, `${id}: ${JSON.stringify(runsOf(id))}`);
    }
  });

  test("an app that restarts costs no sender a failure", async () => {
    const own = await startApp("base");
    const gate = await startHookward({ ...config({ deadline: "13s" }), server: { upstream: upstreamOf(own) } });
    let other;
    try {
      await own.stop();
      const sent = Array.from({ length: 40 }, async (_, index) => {
        await sleep(index * 25);
        return post(gate, newId(), { delay: 0, failures: 0 }, 14000);
      });
      await sleep(1500);
      other = await startApp("base", "start", own.port);
      const statuses = (await Promise.all(sent)).map(({ status }) => status);
      assert.deepEqual([...new Set(statuses)], [200]);
    } finally {
      await gate.stop();
      await other?.stop();
    }
  });

  test("after a kill -9 of hookward nothing is lost", async () => {
    writeFileSync(file, "");
    let gate = await startHookward(config());
    const events = Array.from({ length: 20 }, () => ({ id: newId(), data: { delay: random(0, 1500), failures: 0 } }));
    const all = Promise.all(events.map(({ id, data }) => send(() => gate, id, data, () => 3000, [500, 1000, 2000, 3000, 4000])));
    await sleep(700);
    const old = gate;
    old.kill();
    gate = await startHookward(config());
    const answers = await all;
    await gate.stop();
    for (const [index, { id }] of events.entries()) {
      assert.equal(answers[index].status, 200, id);
      // At least once: what ran when hookward died may have run again.
      assert.ok(runsOf(id).some((line) => line.status === 200), id);
    }
  });
});
