// What must be refused: the sender sees why (problem+json with a code), and the app never hears of it.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { newId, nowSeconds, otherSecret, standardHeaders, svixHeaders, userCreated } from "./lib/deliveries.mjs";
import { noHookward, secrets, startApp, startHookward } from "./lib/processes.mjs";
import { configFor, delivery } from "./lib/setup.mjs";
import { chunked, connect, request } from "./lib/wire.mjs";

const statusOf = {
  framing: 400,
  head_too_large: 431,
  method_not_allowed: 405,
  client_unknown: 403,
  ip_not_allowed: 403,
  header_missing: 400,
  header_repeated: 400,
  header_malformed: 400,
  timestamp_malformed: 400,
  timestamp_too_old: 401,
  timestamp_in_future: 401,
  signature_mismatch: 401,
  body_too_large: 413,
  body_timeout: 408,
  body_incomplete: 400,
};

const target = "/api/webhooks/clerk";
const paths = [target, "/api/clerk-webhook"];
const inside = 290; // seconds: the tolerance is 300, and the test itself takes a moment
const outside = 310;

// Each entry turns a genuine delivery into one that is not. `codes` holds more than one where the design leaves it open.
const forgeries = [
  ["one byte of the body changed", ["signature_mismatch"], () => ({ ...genuine(), body: Buffer.from(userCreated.toString().replace("user_", "User_")) })],
  ["the body cut short", ["signature_mismatch"], () => ({ ...genuine(), body: userCreated.subarray(0, -1) })],
  ["a newline after the body", ["signature_mismatch"], () => ({ ...genuine(), body: Buffer.concat([userCreated, Buffer.from("\n")]) })],
  ["no body at all", ["signature_mismatch"], () => ({ ...genuine(), body: Buffer.alloc(0) })],
  ["the body re-serialised with spaces", ["signature_mismatch"], () => ({ ...genuine(), body: Buffer.from(JSON.stringify(JSON.parse(userCreated), null, 1)) })],
  ["signed with another secret", ["signature_mismatch"], () => genuine({ secret: otherSecret() })],
  ["signed for another id", ["signature_mismatch"], () => changed("svix-id", newId())],
  ["signed for another second", ["signature_mismatch"], () => changed("svix-timestamp", String(nowSeconds() - 1))],
  ["signed long ago and honestly dated", ["timestamp_too_old"], () => genuine({ at: nowSeconds() - outside })],
  ["signed for the future", ["timestamp_in_future"], () => genuine({ at: nowSeconds() + outside })],
  ["a timestamp of zero", ["timestamp_too_old"], () => genuine({ at: 0 })],
  ["a timestamp in milliseconds", ["timestamp_in_future", "timestamp_malformed"], () => changed("svix-timestamp", String(Date.now()))],
  ...["+1731705121", "-1731705121", "1731705121.5", "1 731705121", "0x6737d1e1", "1e9", "now"].map((text) => [
    `the timestamp "${text}"`,
    ["timestamp_malformed"],
    () => changed("svix-timestamp", text),
  ]),
  ["a timestamp of 20 digits", ["timestamp_malformed", "timestamp_in_future"], () => changed("svix-timestamp", "99999999999999999999")],
  ...["svix-id", "svix-timestamp", "svix-signature"].flatMap((name) => [
    [`without ${name}`, ["header_missing"], () => without(name)],
    [`with an empty ${name}`, ["header_missing", "header_malformed", "timestamp_malformed"], () => changed(name, "")],
    [`with ${name} twice, different`, ["header_repeated"], () => added([[name, "other"]])],
    [`with ${name} twice, equal`, ["header_repeated"], () => repeated(name)],
    [`with ${name} that is not ASCII`, ["header_malformed", "timestamp_malformed", "signature_mismatch"], () => changed(name, "caf\xe9")],
    [`with ${name} spelled with underscores`, ["header_missing"], () => renamed(name, name.replaceAll("-", "_"))],
  ]),
  ["no signature header at all", ["header_missing"], () => delivery(target, userCreated, {})],
  ["a signature that is no list of v1 entries", ["header_malformed", "signature_mismatch"], () => changed("svix-signature", "garbage")],
  ["a signature that is not base64", ["header_malformed", "signature_mismatch"], () => changed("svix-signature", "v1,!!!!")],
  ["an empty v1 entry", ["header_malformed", "signature_mismatch"], () => changed("svix-signature", "v1,")],
  ["the right bytes under an unknown version", ["header_malformed", "signature_mismatch"], () => edited("svix-signature", (text) => text.replace("v1,", "v2,"))],
  ["a signature cut short", ["header_malformed", "signature_mismatch"], () => edited("svix-signature", (text) => text.slice(0, -6))],
  ["half from the other header family", ["header_missing"], () => renamed("svix-signature", "webhook-signature")],
  ["two different Content-Lengths", ["framing"], () => added([["content-length", String(userCreated.length)], ["content-length", "3"]])],
  ["Content-Length beside chunks", ["framing"], () => ({ ...added([["content-length", "3"], ["transfer-encoding", "chunked"]]), body: chunked([userCreated]) })],
  ["a transfer coding that is not chunked", ["framing"], () => added([["transfer-encoding", "gzip"]])],
  ["two Hosts", ["framing"], () => added([["host", "localhost"], ["host", "elsewhere.example"]])],
  ["no Host", ["framing"], () => ({ ...genuine(), host: null })],
  ["a Connection header that names the signature", ["framing"], () => added([["connection", "svix-signature"]])],
  ["a Connection header that names the verified event", ["framing"], () => added([["connection", "close, verified-event"]])],
  ["a body declared over the limit", ["body_too_large"], () => ({ ...added([["content-length", "2000000"]]), body: Buffer.from("{") })],
  ["a body in chunks over the limit", ["body_too_large"], () => ({ ...added([["transfer-encoding", "chunked"]]), body: chunked([Buffer.alloc(1_500_000, 32)]) })],
];

describe("a forged delivery is refused and does not reach the app", { skip: noHookward }, () => {
  let app;
  let door;
  before(async () => {
    app = await startApp("base");
    const fenced = (allow_ips) => ({ path: `/api/dyn/fenced-${allow_ips.length}`, provider: "clerk", secrets: [{ label: "current", env: "CLERK_WEBHOOK_SIGNING_SECRET" }], allow_ips });
    const routes = { fenced: fenced(["192.0.2.1", "2001:db8::/32"]), open: fenced(["127.0.0.0/8"]) };
    door = await startHookward(configFor(app, { routes }));
  });
  after(async () => {
    await door?.stop();
    await app?.stop();
  });

  for (const path of paths) {
    for (const [what, codes, forge] of forgeries) {
      test(`${path}: ${what}`, async () => {
        await app.reset();
        await assertRefused(await request(door, { ...forge(), target: path }), codes);
        assert.equal((await app.runs()).total, 0);
      });
    }

    for (const method of ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "PROPFIND"]) {
      test(`${path}: the method ${method}`, async () => {
        await app.reset();
        const answer = await request(door, { ...genuine(), target: path, method });
        assert.equal(answer.status, 405);
        assert.equal(answer.headers.allow, "POST");
        if (method !== "HEAD") await assertRefused(answer, ["method_not_allowed"]);
        assert.equal((await app.runs()).total, 0);
      });
    }

    test(`${path}: a method override does not help`, async () => {
      await app.reset();
      const overrides = [["x-http-method-override", "POST"], ["x-http-method", "POST"], ["x-method-override", "POST"]];
      await assertRefused(await request(door, { target: path, headers: overrides }), ["method_not_allowed"]);
      assert.equal((await app.runs()).total, 0);
    });

    test(`${path}: an upgrade`, async () => {
      await app.reset();
      const headers = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13" };
      assert.equal((await request(door, { target: path, headers })).status, 405);
      assert.equal((await app.runs()).total, 0);
    });

    test(`${path}: a body that stops half-way`, async () => {
      await app.reset();
      const connection = await connect(door);
      await connection.send({ ...added([["content-length", String(userCreated.length)]]), target: path, body: userCreated.subarray(0, 50) });
      connection.halfClose();
      const answer = await connection.response({ timeout: 5000 }).catch(() => null);
      if (answer) await assertRefused(answer, ["body_incomplete"]);
      connection.destroy();
      assert.equal((await app.runs()).total, 0);
    });
  }

  test("a Clerk route takes no webhook-* headers", async () => {
    await app.reset();
    const headers = standardHeaders(userCreated, { secret: secrets.CLERK_WEBHOOK_SIGNING_SECRET });
    await assertRefused(await request(door, delivery(target, userCreated, headers)), ["header_missing"]);
    assert.equal((await app.runs()).total, 0);
  });

  test("a refused delivery is not invited to send its body", async () => {
    const connection = await connect(door);
    await connection.send({ ...added([["expect", "100-continue"], ["content-length", "2000000"]]), body: undefined });
    const answer = await connection.response();
    connection.destroy();
    await assertRefused(answer, ["body_too_large"]);
    assert.deepEqual(answer.informational, []);
  });

  test("a timestamp just inside the tolerance is accepted, on both sides", async () => {
    for (const at of [nowSeconds() - inside, nowSeconds() + inside]) {
      await app.reset();
      assert.equal((await request(door, genuine({ at }))).status, 200);
      assert.equal((await app.runs()).total, 1);
    }
  });

  describe("by the sender's address", () => {
    const fencedPath = "/api/dyn/fenced-2";

    test("a genuine delivery from elsewhere is refused", async () => {
      await app.reset();
      await assertRefused(await request(door, { ...genuine(), target: fencedPath }), ["ip_not_allowed"]);
      assert.equal((await app.runs()).total, 0);
    });

    test("what an untrusted peer says about its address is not believed", async () => {
      const claims = [["x-forwarded-for", "192.0.2.1"], ["forwarded", "for=192.0.2.1"], ["x-real-ip", "192.0.2.1"], ["cf-connecting-ip", "192.0.2.1"]];
      for (const claim of claims) {
        await app.reset();
        await assertRefused(await request(door, { ...added([claim]), target: fencedPath }), ["ip_not_allowed"]);
        assert.equal((await app.runs()).total, 0);
      }
    });

    test("an allowed address does not replace the signature", async () => {
      await app.reset();
      await assertRefused(await request(door, { ...genuine({ secret: otherSecret() }), target: "/api/dyn/fenced-1" }), ["signature_mismatch"]);
      assert.equal((await app.runs()).total, 0);
      assert.equal((await request(door, { ...genuine(), target: "/api/dyn/fenced-1" })).status, 200);
      assert.equal((await app.runs()).total, 1);
    });

    test("behind a trusted proxy the first address from the right counts, and garbage is no address", async () => {
      const fenced = { path: fencedPath, provider: "clerk", secrets: [{ label: "current", env: "CLERK_WEBHOOK_SIGNING_SECRET" }], allow_ips: ["192.0.2.1", "2001:db8::/32"] };
      const behind = await startHookward(configFor(app, { routes: { fenced }, client_ip: { trusted_proxies: ["127.0.0.1", "10.0.0.0/8"] } }));
      const from = async (...lines) => request(behind, { ...added(lines.map((line) => ["x-forwarded-for", line])), target: fencedPath });
      try {
        await app.reset();
        await assertRefused(await from(), ["client_unknown"]);
        await assertRefused(await from("192.0.2.1, 198.51.100.7"), ["ip_not_allowed"]);
        await assertRefused(await from("192.0.2.1, unknown"), ["client_unknown"]);
        await assertRefused(await from("192.0.2.1, _hidden"), ["client_unknown"]);
        await assertRefused(await from("10.1.1.1"), ["client_unknown"]);
        await assertRefused(await from("192.0.2.1", "198.51.100.7"), ["ip_not_allowed"]);
        assert.equal((await app.runs()).total, 0);
        for (const lines of [["192.0.2.1"], ["198.51.100.7, 192.0.2.1, 10.9.9.9"], ["garbage, 192.0.2.1"], ["::ffff:192.0.2.1"], ["[2001:db8::1]:4711"]]) {
          assert.equal((await from(...lines)).status, 200, lines.join(" / "));
        }
      } finally {
        await behind.stop();
      }
    });
  });
});

function genuine(options) {
  return delivery(target, userCreated, svixHeaders(userCreated, options));
}

function withHeaders(change) {
  const message = genuine();
  return { ...message, headers: change(message.headers) };
}

function changed(name, value) {
  return edited(name, () => value);
}

function edited(name, edit) {
  return withHeaders((headers) => headers.map(([key, value]) => [key, key === name ? edit(value) : value]));
}

function without(name) {
  return withHeaders((headers) => headers.filter(([key]) => key !== name));
}

function renamed(name, other) {
  return withHeaders((headers) => headers.map(([key, value]) => [key === name ? other : key, value]));
}

function added(more) {
  return withHeaders((headers) => [...headers, ...more]);
}

function repeated(name) {
  return withHeaders((headers) => [...headers, headers.find(([key]) => key === name)]);
}

async function assertRefused(answer, codes) {
  assert.match(answer.headers["content-type"] ?? "", /^application\/problem\+json/, `answered ${answer.status}`);
  const problem = JSON.parse(answer.body);
  assert.ok(codes.includes(problem.code), `${problem.code} is none of ${codes.join(", ")}`);
  assert.equal(answer.status, statusOf[problem.code]);
  assert.ok(problem.title, "the problem has a title");
  assert.ok(problem.request_id, "the problem has a request id");
  // The owner of the webhook reads this answer: it never helps to forge the next one.
  assert.doesNotMatch(answer.body.toString(), /whsec_|v1,/);
}
