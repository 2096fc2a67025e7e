// Genuine deliveries: hookward lets each one through, the app gets the very bytes, and its own library agrees.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newId, nowSeconds, otherSecret, readVerifiedEvent, sampleBodies, sha256, standardHeaders, svixHeaders, userCreated } from "./lib/deliveries.mjs";
import { noHookward, startApp, startHookward } from "./lib/processes.mjs";
import { configFor, delivery } from "./lib/setup.mjs";
import { chunked, connect, request } from "./lib/wire.mjs";

// What the app's own libraries cannot take, hookward or not: both turn the body into text and parse it as JSON.
const refusedByTheApp = {
  "byte-sensitive/13-utf8-bom.json": "the byte order mark: Request.text() drops it, JSON.parse trips over it",
  "byte-sensitive/14-invalid-utf8.bin": "not UTF-8: decoding replaces the bytes that were signed",
  "byte-sensitive/16-empty-body.bin": "no body: there is no JSON to parse",
};

const handlers = [
  { path: "/api/webhooks/clerk", router: "App Router and verifyWebhook", sign: svixHeaders },
  { path: "/api/clerk-webhook", router: "Pages Router and svix", sign: svixHeaders },
];

let app;
before(async () => (app = await startApp("base")));
after(() => app?.stop());

test("the sample bodies are all there", () => {
  const names = sampleBodies().map(({ name }) => name);
  assert.equal(names.length, 68);
  for (const name of Object.keys(refusedByTheApp)) assert.ok(names.includes(name), name);
});

describe("straight to the app", () => genuineDeliveries(() => app));

describe("through hookward", { skip: noHookward }, () => {
  let door;
  before(async () => (door = await startHookward(configFor(app))));
  after(() => door?.stop());

  genuineDeliveries(() => door);

  for (const { path, router, sign } of handlers) {
    test(`the verified event tells ${router} what was proven`, async () => {
      await app.reset();
      const [id, at] = [newId(), nowSeconds()];
      const answer = await request(door, delivery(path, userCreated, sign(userCreated, { id, at })));
      assert.equal(answer.status, 200);
      const isClerk = path === "/api/webhooks/clerk";
      assert.deepEqual(readVerifiedEvent(JSON.parse(answer.body).verifiedEvent), {
        id,
        type: "user.created",
        provider: isClerk ? "clerk" : "svix",
        route: isClerk ? "clerk" : "pages",
        secret: "current",
        timestamp: at,
      });
    });

    test(`a forged verified event is gone before ${router} sees it`, async () => {
      await app.reset();
      const id = newId();
      const spoofed = [
        ["verified-event", 'id="msg_forged", type="user.deleted"'],
        ["Verified_Event", 'id="msg_forged"'],
        ["VERIFIED-EVENT-TOKEN", "forged"],
        ["verified_event_token", "forged"],
        ["verified-event-anything", "forged"],
      ];
      const run = JSON.parse((await request(door, delivery(path, userCreated, sign(userCreated, { id }), spoofed))).body);
      assert.equal(readVerifiedEvent(run.verifiedEvent).id, id);
      assert.ok(!run.verifiedEvent.includes("forged"));
      assert.deepEqual(run.headers.filter((name) => /^verified.event/.test(name)), ["verified-event"]);
    });
  }

  test("a forged verified event is gone on routes that nothing protects", async () => {
    const spoofed = [["verified-event", 'id="msg_forged"'], ["Verified_Event", "x"], ["verified-event-token", "x"], ["Verified_event-Token", "x"]];
    const echo = JSON.parse((await request(door, { target: "/api/echo/x", headers: spoofed })).body);
    assert.doesNotMatch(JSON.stringify(echo.rawHeaders), /verified.event/i);
    const page = await request(door, { target: "/event", headers: spoofed });
    assert.match(page.body.toString(), /<pre id="seen">\[\]<\/pre>/);
  });

  test("a body in chunks arrives as one body with its length", async () => {
    await app.reset();
    const pieces = [userCreated.subarray(0, 100), userCreated.subarray(100, 101), userCreated.subarray(101)];
    const headers = [["transfer-encoding", "chunked"]];
    const answer = await request(door, delivery("/api/webhooks/clerk", chunked(pieces), svixHeaders(userCreated), headers));
    assert.equal(answer.status, 200);
    const [run] = (await app.runs()).runs;
    assert.equal(run.sha256, sha256(userCreated));
    assert.ok(run.headers.includes("content-length") && !run.headers.includes("transfer-encoding"));
  });

  test("many deliveries share one connection", async () => {
    await app.reset();
    const connection = await connect(door);
    for (let number = 0; number < 20; number += 1) {
      const path = handlers[number % 2].path;
      assert.equal((await connection.exchange(delivery(path, userCreated, svixHeaders(userCreated)))).status, 200);
    }
    connection.destroy();
    assert.equal((await app.runs()).total, 20);
  });

  // A prefetch header makes Next answer without running the handler: the event would be acknowledged and lost.
  for (const headers of prefetches()) {
    for (const { path, router, sign } of handlers) {
      test(`${router} runs although the delivery says ${headers.map(([name]) => name).join(", ")}`, async () => {
        await app.reset();
        const answer = await request(door, delivery(path, userCreated, sign(userCreated), headers));
        assert.equal(answer.status, 200);
        assert.deepEqual((await app.runs()).counts, { [path]: 1 });
      });
    }
  }

  test("a signature by the second secret of two passes", async () => {
    const both = [{ label: "old", env: "OLD_SECRET" }, { label: "new", env: "NEW_SECRET" }];
    const env = { OLD_SECRET: otherSecret(), NEW_SECRET: otherSecret() };
    const rotating = { path: "/api/dyn/rotating", provider: "clerk", secrets: both };
    const second = await startHookward(configFor(app, { routes: { rotating } }), env);
    try {
      for (const [label, secret] of [["old", env.OLD_SECRET], ["new", env.NEW_SECRET]]) {
        const answer = await request(second, delivery(rotating.path, userCreated, svixHeaders(userCreated, { secret })));
        assert.equal(answer.status, 200);
        assert.equal(readVerifiedEvent(JSON.parse(answer.body).verifiedEvent).secret, label);
      }
    } finally {
      await second.stop();
    }
  });
});

test("without hookward a prefetch header does swallow a delivery", async () => {
  const swallowed = [];
  for (const headers of prefetches()) {
    for (const { path, sign } of handlers) {
      await app.reset();
      const answer = await request(app, delivery(path, userCreated, sign(userCreated), headers));
      if (answer.status < 300 && (await app.runs()).total === 0) swallowed.push(headers);
    }
  }
  assert.notEqual(swallowed.length, 0);
});

// The same deliveries for both doors: what hookward adds must not change what the app can verify.
function genuineDeliveries(door) {
  for (const { path, router, sign } of handlers) {
    test(`every sample body runs ${router} with the same bytes, and verifies again there`, async () => {
      const refused = [];
      for (const { name, body } of sampleBodies()) {
        await app.reset();
        await request(door(), delivery(path, body, sign(body)));
        const { runs } = await app.runs();
        assert.equal(runs.length, 1, `${name} ran ${runs.length} times`);
        assert.equal(runs[0].handler, path, name);
        assert.equal(runs[0].sha256, sha256(body), name);
        if (!runs[0].verified) refused.push(name);
      }
      assert.deepEqual(refused, Object.keys(refusedByTheApp));
    });
  }

  test("a delivery by the standardwebhooks library runs its handler and verifies again there", async () => {
    for (const { name, body } of sampleBodies().filter((sample) => !(sample.name in refusedByTheApp))) {
      await app.reset();
      const answer = await request(door(), delivery("/api/webhooks/standard", body, standardHeaders(body)));
      assert.equal(answer.status, 200, name);
      const { runs } = await app.runs();
      assert.deepEqual(runs.map(({ sha256: hash, verified }) => [hash, verified]), [[sha256(body), true]], name);
    }
  });
}

function prefetches() {
  return [
    [["next-router-prefetch", "1"], ["rsc", "1"]],
    [["next-router-segment-prefetch", "/_tree"], ["next-router-prefetch", "1"], ["rsc", "1"]],
    [["rsc", "1"]],
    [["purpose", "prefetch"]],
    [["x-middleware-prefetch", "1"]],
    [["x-nextjs-data", "1"]],
    [["x-middleware-prefetch", "1"], ["x-nextjs-data", "1"], ["purpose", "prefetch"]],
  ];
}
