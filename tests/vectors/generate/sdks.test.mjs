// What the vendors' SDKs sign now goes through hookward, what is forged does not; and they accept what hookward signs.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { knownProviders, noHookward, publicUrl, sign, signs, startGate } from "./lib/hookward.mjs";
import { deliver, forgeries, judge, vendors } from "./sign.mjs";

const providers = noHookward ? [] : knownProviders();
const known = vendors.filter(({ provider }) => providers.includes(provider));

describe("over the wire", { skip: noHookward }, () => {
  const routes = known.filter(({ missing }) => !missing).map((vendor) => ({ vendor, keys: vendor.keys() }));
  let gate;
  before(async () => (gate = await startGate(routes)));
  after(() => gate?.stop());

  for (const { vendor, keys } of routes) {
    test(`${vendor.name}: the signed delivery arrives as it was sent, and no forged one does`, async () => {
      const url = `${publicUrl}/hooks/${vendor.name}`;
      const request = await deliver(vendor, keys, { url });
      if (vendor.verify) {
        const verdict = await judge(vendor, request, keys);
        assert.ok(verdict.accepted, `the vendor refuses what was signed here: ${verdict.why}`);
      }

      const { status, code } = await gate.send(request);
      assert.equal(status, 200, code);
      const [arrived] = gate.seen(vendor.name);
      assert.equal(new URL(arrived.url, url).href, request.url);
      assert.deepEqual(arrived.bytes, request.bytes);
      for (const [name, value] of Object.entries(request.headers)) assert.equal(arrived.headers[name], value, name);
      assert.match(arrived.headers["verified-event"], new RegExp(`(^|, )provider="${vendor.provider}"(,|;|$)`));

      const forged = await forgeries(vendor, keys, request, { url });
      for (const [kind, forgery] of Object.entries(forged)) {
        const answer = await gate.send(forgery);
        assert.ok([400, 401].includes(answer.status), `"${kind}" was answered with ${answer.status} ${answer.code}`);
        // Refused for what is wrong with it, and not because no route was there.
        assert.match(answer.code, /^(header|timestamp|signature|body)_/, kind);
        assert.equal(gate.seen(vendor.name).length, 1, `"${kind}" reached the app`);
      }
    });
  }

  test("every provider with an SDK here is one that hookward knows", { skip: providers.length <= 7 && "this binary has the first seven" }, () => {
    const unknown = vendors.filter(({ provider }) => !providers.includes(provider)).map(({ name }) => name);
    assert.deepEqual(unknown, []);
  });
});

describe("hookward sign", { skip: noHookward || (!signs() && "this binary has no `sign`") }, () => {
  const first = known.filter((vendor, index) => known.findIndex(({ provider }) => provider === vendor.provider) === index);

  for (const vendor of first.filter(({ verify, onlySender }) => verify && !onlySender)) {
    test(`${vendor.packages.at(-1)} accepts what hookward signs for ${vendor.provider}`, { skip: vendor.missing }, async () => {
      const keys = vendor.keys();
      // A little old: what is in its headers may not be taken for what hookward writes.
      const delivery = await deliver(vendor, keys, { url: `${publicUrl}/hooks/${vendor.name}`, now: Date.now() - 10_000 });
      const made = sign(vendor, keys, { ...delivery, url: delivery.url.split("?")[0] });
      const verdict = await judge(vendor, made, keys);
      assert.ok(verdict.accepted, verdict.why);
      const other = await judge(vendor, made, { ...vendor.keys(), options: keys.options });
      assert.ok(!other.accepted, "it is accepted with another key as well");
    });
  }

  for (const vendor of first.filter(({ onlySender }) => onlySender)) {
    test(`only the sender signs for ${vendor.provider}`, async () => {
      const keys = vendor.keys();
      const delivery = await deliver(vendor, keys);
      assert.throws(() => sign(vendor, keys, delivery), /only .* can sign its deliveries/);
    });
  }
});
