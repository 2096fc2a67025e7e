// The helper of deploy/nextjs and its two handlers: what hookward proved is read, and whoever goes around it is refused.
import assert from "node:assert/strict";
import { createHmac, generateKeyPairSync, randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { SignJWT, UnsecuredJWT } from "jose";
import { readVerifiedEvent } from "./examples/js/verified-event.js";
import { newId, nowSeconds, sha256, svixHeaders, userCreated } from "./lib/deliveries.mjs";
import { noHookward, secrets, startApp, startHookward } from "./lib/processes.mjs";
import { configFor, delivery } from "./lib/setup.mjs";
import { request } from "./lib/wire.mjs";

const key = secrets.VERIFIED_EVENT_KEY;
const shared = { algorithm: "HS256", key };
const pair = generateKeyPairSync("ed25519");
const publicKey = pair.publicKey.export({ type: "spki", format: "pem" });
const privateKey = pair.privateKey.export({ type: "pkcs8", format: "pem" });
const body = Buffer.from('{"type":"user.created"}');
const value = 'id="msg_1", type="user.created", provider="clerk", route="clerk", secret="current", timestamp=1731705121';
const members = { id: "msg_1", type: "user.created", provider: "clerk", route: "clerk", secret: "current", timestamp: 1731705121 };

// A token as hookward makes it, but for what `change` says. A member that is undefined is left out.
function tokenOf(change = {}, { header = {}, by = Buffer.from(key) } = {}) {
  const now = nowSeconds();
  const claims = { iss: "hookward", aud: "app", iat: now, exp: now + 60, jti: randomUUID(), ...members, body_sha256: sha256(body), ...change };
  const known = Object.fromEntries(Object.entries(claims).filter(([, said]) => said !== undefined));
  return new SignJWT(known).setProtectedHeader({ alg: "HS256", typ: "JWT", ...header }).sign(by);
}

function web(headers, bytes = body) {
  return new Request("http://app.example/hook", { method: "POST", headers, body: bytes });
}

function node(headers, bytes = body) {
  return Object.assign(Readable.from([bytes.subarray(0, 3), bytes.subarray(3)]), { headers });
}

// What is read, and why not, of the same request in both forms.
async function read(headers, options = {}, bytes = body) {
  const seen = [];
  for (const form of [web, node]) {
    const reasons = [];
    const event = await readVerifiedEvent(form(headers, bytes), { ...options, onRefused: (reason) => reasons.push(reason) });
    assert.equal(reasons.length, event === null ? 1 : 0);
    seen.push({ event: event && { ...event, body: Buffer.from(event.body) }, reason: reasons[0] });
  }
  assert.deepEqual(seen[0], seen[1]);
  return seen[0];
}

async function assertRefused(headers, reason, options = { token: shared }, bytes = body) {
  const found = await read(headers, options, bytes);
  assert.equal(found.event, null);
  assert.match(found.reason, reason);
}

const withToken = (token, event = value) => ({ "verified-event": event, "verified-event-token": token });

describe("the header alone", () => {
  test("is read into an object, with the body's bytes", async () => {
    const { event } = await read({ "verified-event": value });
    assert.deepEqual(event, { ...members, unsigned: [], body });
  });

  test("keeps what is missing missing, and says what nobody signed", async () => {
    const text = 'id="1";unsigned, type="push";a=1;unsigned=?1;b="x", provider="github", route="github", secret="s"';
    const { event } = await read({ "verified-event": text });
    assert.deepEqual(event, { id: "1", type: "push", provider: "github", route: "github", secret: "s", unsigned: ["id", "type"], body });
    const signed = await read({ "verified-event": text.replaceAll("unsigned=?1", "unsigned=?0") });
    assert.deepEqual(signed.event.unsigned, ["id"]);
    assert.equal((await read({ "verified-event": `${value}, proof=partial` })).event.proof, "partial");
  });

  test("reads escapes and Display Strings", async () => {
    const text = 'id="a\\"b\\\\c", type=%"gr%c3%bc%c3%9fe %22%25", provider="p", route="r", secret="s"';
    const { event } = await read({ "verified-event": text });
    assert.deepEqual([event.id, event.type], ['a"b\\c', 'grüße "%']);
  });

  test("is read whatever a later version adds", async () => {
    const more = ', a, b;x, c=?0, d=1.5, e=-3, f=@1659578233, g=:aGk=:, h=("x" y;z 1);u, i=(), *j=to/ken:x,\tk=%""';
    assert.deepEqual((await read({ "verified-event": value + more })).event, { ...members, unsigned: [], body });
  });

  test("of which the last of two members counts", async () => {
    const { event } = await read({ "verified-event": `type="first";unsigned, ${value}` });
    assert.deepEqual([event.type, event.unsigned], ["user.created", []]);
  });

  for (const text of [
    "", " ", "x", "id=", 'id="a', 'id="a\\n"', 'id="ü"', `${value},`, `${value};`, `${value} x=1`, `${value}, =1`, `${value}, A=1`,
    value.replace('"clerk"', "1"), value.replace('"msg_1"', "?1"), value.replace("1731705121", "1.5"), value.replace("1731705121", '"1"'),
    value.replace("1731705121", "1234567890123456"), `${value}, proof=body`, value.replace(', secret="current"', ""), `${value}, x=%"%FF"`,
    `${value}, x=%"%ff"`, `${value}, x=%"%C3%BC"`, `${value}, x=("a""b")`, `${value}, x=("a"`, `${value}, x=:a:`, `${value}, x=1..2`, `${value}, x=?2`,
  ]) {
    test(`is not read as ${JSON.stringify(text)}`, async () => {
      if (/[^\x20-\x7e]/.test(text)) return assert.equal(await readVerifiedEvent(node({ "verified-event": text })), null);
      return assertRefused({ "verified-event": text }, /malformed|verified-event has no|is not|not known/, {});
    });
  }

  test("has to be there", () => assertRefused({}, /no verified-event header/, {}));

  test("leaves a Request to be read again, and takes a body that was read before", async () => {
    const given = web({ "verified-event": value });
    await readVerifiedEvent(given);
    assert.equal(await given.text(), body.toString());
    const event = await readVerifiedEvent(given, { body });
    assert.equal(event.body, body);
  });

  test("says so when the app has parsed the body", async () => {
    const parsed = Object.assign(node({ "verified-event": value }), { body: {} });
    await assert.rejects(readVerifiedEvent(parsed), /bodyParser: false/);
    const drained = node({ "verified-event": value });
    for await (const _ of drained);
    await assert.rejects(readVerifiedEvent(drained), /bodyParser: false/);
    const taken = web({ "verified-event": value });
    await taken.text();
    await assert.rejects(readVerifiedEvent(taken), TypeError);
  });
});

describe("the token", () => {
  test("is taken when it is genuine", async () => {
    const { event } = await read(withToken(await tokenOf()), { token: shared });
    assert.deepEqual(event, { ...members, unsigned: [], body });
  });

  test("by EdDSA too, and for the audience and issuer that are named", async () => {
    const token = await tokenOf({ aud: "shop", iss: "gate" }, { header: { alg: "EdDSA" }, by: pair.privateKey });
    const options = { algorithm: "EdDSA", key: publicKey, audience: "shop", issuer: "gate" };
    assert.equal((await read(withToken(token), { token: options })).event.id, "msg_1");
    await assertRefused(withToken(token), /"iss"/, { token: { ...options, issuer: undefined } });
    await assertRefused(withToken(token), /"aud"/, { token: { ...options, audience: undefined } });
  });

  test("is taken by either key while one is replaced, and with a newline at the key's end", async () => {
    const both = { algorithm: "HS256", key: ["another key of these tests, long enough", `${key}\n`] };
    assert.equal((await read(withToken(await tokenOf()), { token: both })).event.id, "msg_1");
    await assertRefused(withToken(await tokenOf()), /signature/, { token: { ...both, key: both.key[0] } });
  });

  test("has to be there", () => assertRefused({ "verified-event": value }, /no verified-event-token header/));
  test("has to be one: empty is not the same as not asked for", async () => {
    for (const token of ["", " ", "\t", ",", "null", "undefined", "..", "0"]) {
      await assertRefused(withToken(token), /the token does not hold/);
      await assertRefused(withToken(token), /the token does not hold/, { token: { algorithm: "EdDSA", key: publicKey } });
    }
  });

  test("has to be there once", async () => {
    const token = await tokenOf();
    await assertRefused(withToken(`${token}, ${token}`), /token/);
  });

  test("is that of this body", async () => {
    const headers = withToken(await tokenOf());
    await assertRefused(headers, /another body/, { token: shared }, Buffer.from(`${body} `));
    await assertRefused(headers, /another body/, { token: shared }, Buffer.alloc(0));
    const given = await readVerifiedEvent(web(headers), { token: shared, body: Buffer.from("other") });
    assert.equal(given, null, "nor with a body that is handed over");
  });

  test("is no older than it says, give or take a clock", async () => {
    const past = (ago) => tokenOf({ iat: nowSeconds() - 60 - ago, exp: nowSeconds() - ago });
    await assertRefused(withToken(await past(6)), /"exp"/);
    assert.equal((await read(withToken(await past(2)), { token: shared })).event.id, "msg_1");
    await assertRefused(withToken(await past(2)), /"exp"/, { token: { ...shared, clockTolerance: 0 } });
  });

  for (const [what, change, reason] of [
    ["another audience", { aud: "other" }, /"aud"/],
    ["no audience", { aud: undefined }, /"aud"/],
    ["another issuer", { iss: "other" }, /"iss"/],
    ["no end", { exp: undefined }, /"exp"/],
    ["no beginning", { iat: undefined }, /"iat"/],
    ["no name", { jti: undefined }, /"jti"/],
    ["no body", { body_sha256: undefined }, /"body_sha256"/],
    ["another id", { id: "msg_2" }, /differ in id/],
    ["no id", { id: undefined }, /differ in id/],
    ["another type", { type: "user.deleted" }, /differ in type/],
    ["another provider", { provider: "svix" }, /differ in provider/],
    ["another route", { route: "other" }, /differ in route/],
    ["another secret", { secret: "next" }, /differ in secret/],
    ["another time", { timestamp: 1731705122 }, /differ in timestamp/],
    ["less proof", { proof: "token" }, /differ in proof/],
  ]) {
    test(`is refused with ${what}`, async () => assertRefused(withToken(await tokenOf(change)), reason));
  }

  test("vouches for no unsigned member", async () => {
    const text = value.replace('"user.created"', '"user.created";unsigned');
    const { event } = await read(withToken(await tokenOf({ type: undefined }), text), { token: shared });
    assert.deepEqual([event.type, event.unsigned], ["user.created", ["type"]]);
    await assertRefused(withToken(await tokenOf({ type: undefined })), /differ in type/);
    await assertRefused(withToken(await tokenOf(), text), /differ in type/);
  });

  test("is refused unsigned, by another algorithm, and signed with what everybody knows", async () => {
    const now = nowSeconds();
    const claims = { ...members, body_sha256: sha256(body), jti: "x", iss: "hookward", aud: "app", iat: now, exp: now + 60 };
    const none = new UnsecuredJWT(claims).encode();
    const part = (data) => Buffer.from(JSON.stringify(data)).toString("base64url");
    const by = (header, secret) => {
      const message = `${part(header)}.${part(claims)}`;
      return `${message}.${createHmac("sha256", secret).update(message).digest("base64url")}`;
    };
    const eddsa = { token: { algorithm: "EdDSA", key: publicKey } };
    for (const options of [{ token: shared }, eddsa]) {
      await assertRefused(withToken(none), /./, options);
      await assertRefused(withToken(by({ alg: "none", typ: "JWT" }, key)), /alg/i, options);
      await assertRefused(withToken(by({ alg: "HS512", typ: "JWT" }, key)), /alg/i, options);
      await assertRefused(withToken("x"), /./, options);
    }
    // The well-known confusion: the public key as the shared secret.
    for (const secret of [publicKey, publicKey.trim(), pair.publicKey.export({ type: "spki", format: "der" })]) {
      await assertRefused(withToken(by({ alg: "HS256", typ: "JWT" }, secret)), /alg/i, eddsa);
    }
    await assertRefused(withToken(await tokenOf({}, { header: { alg: "EdDSA" }, by: pair.privateKey })), /alg/i);
    await assertRefused(withToken(await tokenOf({}, { header: { typ: "at+jwt" } })), /typ/);
  });

  test("is not checked with a key that checks nothing", async () => {
    const headers = withToken(await tokenOf());
    for (const [options, reason] of [
      [{ algorithm: "HS256", key: undefined }, /missing/],
      [{ algorithm: "HS256", key: "" }, /missing/],
      [{ algorithm: "HS256", key: [] }, /missing/],
      [{ algorithm: "HS256", key: [key, undefined] }, /missing/],
      [{ algorithm: "HS256", key: "short" }, /32 bytes/],
      [{ algorithm: "HS256", key: publicKey }, /PEM/],
      [{ algorithm: "HS256", key: Buffer.from(publicKey) }, /PEM/],
      [{ algorithm: "EdDSA", key }, /PEM/],
      [{ algorithm: "EdDSA", key: privateKey }, /./],
      [{ algorithm: "none", key }, /algorithm/],
    ]) {
      await assert.rejects(readVerifiedEvent(web(headers), { token: options }), reason);
    }
  });
});

describe("the handlers of deploy/nextjs", () => {
  const handlers = [["App Router", "/api/example/proof"], ["Pages Router", "/api/pexample/proof"]];
  let app;
  before(async () => (app = await startApp("base")));
  after(() => app?.stop());

  for (const [router, path] of handlers) {
    test(`${router}: straight to the app's port, nothing forged is taken`, async () => {
      // What a forger may have: a genuine delivery, signature included, and a token that was made for another.
      const signed = svixHeaders(userCreated);
      const send = (headers, bytes = userCreated) => request(app, delivery(path, bytes, signed, Object.entries(headers)));
      const token = (change, by) => tokenOf({ body_sha256: sha256(userCreated), ...change }, by);
      assert.equal((await send({})).status, 403);
      assert.equal((await send({ "verified-event": value })).status, 403);
      assert.equal((await send(withToken("forged"))).status, 403);
      assert.equal((await send(withToken(new UnsecuredJWT(members).encode()))).status, 403);
      assert.equal((await send(withToken(await tokenOf()))).status, 403, "of another body");
      assert.equal((await send(withToken(""))).status, 403, "empty");
      assert.equal((await send(withToken(await token({ exp: nowSeconds() - 10 })))).status, 403, "expired");
      assert.equal((await send(withToken(await token({ aud: "other" })))).status, 403, "of another audience");
      assert.equal((await send(withToken(await token({}, { by: Buffer.from(publicKey) })))).status, 403, "by another key");
      // And that these refusals are for a reason: with hookward's own key the same is taken.
      const answer = await send(withToken(await token()));
      assert.equal(answer.status, 200);
      assert.deepEqual(JSON.parse(answer.body), { id: "msg_1", type: "user.created" });
    });
  }

  describe("through hookward", { skip: noHookward }, () => {
    const clerk = (path) => ({ path, provider: "clerk", secrets: [{ label: "current", env: "CLERK_WEBHOOK_SIGNING_SECRET" }] });
    let door;
    before(async () => {
      const config = configFor(app, { routes: { example: clerk("/api/example/proof"), pexample: clerk("/api/pexample/proof") } });
      door = await startHookward({ ...config, verified_event: { token: { key: { env: "VERIFIED_EVENT_KEY" } } } });
    });
    after(() => door?.stop());

    for (const [router, path] of handlers) {
      test(`${router}: a genuine delivery is taken, and only with its own body`, async () => {
        const id = newId();
        const answer = await request(door, delivery(path, userCreated, svixHeaders(userCreated, { id })));
        assert.equal(answer.status, 200, answer.body.toString());
        assert.deepEqual(JSON.parse(answer.body), { id, type: "user.created" });
      });

      test(`${router}: a forged proof beside a genuine delivery does no harm`, async () => {
        const id = newId();
        const forged = [["verified-event", value], ["Verified_Event_Token", await tokenOf()], ["verified-event-token", "x"]];
        const answer = await request(door, delivery(path, userCreated, svixHeaders(userCreated, { id }), forged));
        assert.equal(answer.status, 200);
        assert.equal(JSON.parse(answer.body).id, id);
      });
    }

    test("what hookward writes with EdDSA is what the helper reads", async () => {
      const token = { algorithm: "EdDSA", audience: "shop", key: { env: "TOKEN_PRIVATE_KEY" } };
      const config = configFor(app, { routes: { echo: clerk("/api/echo/signed") } });
      const second = await startHookward({ ...config, verified_event: { token } }, { TOKEN_PRIVATE_KEY: privateKey });
      try {
        const [id, at] = [newId(), nowSeconds()];
        const answer = await request(second, delivery("/api/echo/signed", userCreated, svixHeaders(userCreated, { id, at })));
        assert.equal(answer.status, 200);
        const { headers } = JSON.parse(answer.body);
        const options = { token: { algorithm: "EdDSA", key: publicKey, audience: "shop" } };
        const { event } = await read(headers, options, userCreated);
        assert.deepEqual(event, { ...members, id, timestamp: at, route: "echo", unsigned: [], body: userCreated });
        await assertRefused(headers, /another body/, options);
      } finally {
        await second.stop();
      }
    });
  });
});
