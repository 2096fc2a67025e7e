// The cases of vectors.json, asked of the vendors' own SDKs at the time that each case is set in.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { disagreements, recheck } from "./lib/recheck.mjs";
import { vendors } from "./sign.mjs";

const cases = JSON.parse(readFileSync(new URL("../vectors.json", import.meta.url)));
const askable = (provider) => vendors.some((vendor) => vendor.provider === provider && vendor.verify && !vendor.missing);

test("the vendors' SDKs agree with every case that they can be asked about", async () => {
  const verdicts = await recheck(cases);
  assert.equal(verdicts.length, cases.filter(({ provider }) => askable(provider)).length);
  assert.ok(verdicts.length > 100);
  const wrong = disagreements(verdicts).map(({ case: { provider, name, expect }, package: sdk, why }) => ({ provider, name, expect, sdk, why }));
  assert.deepEqual(wrong, []);
});

test("an SDK that says the opposite of a case is reported", async () => {
  const turned = cases.map((one) => ({ ...one, expect: one.expect === "accept" ? "reject" : "accept" }));
  const verdicts = await recheck(turned);
  assert.equal(disagreements(verdicts).length, verdicts.length);
});
