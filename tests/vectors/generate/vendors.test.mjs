// The vendors' SDKs among themselves: what is signed here is accepted by the vendor, and a forgery is not.
import assert from "node:assert/strict";
import { test } from "node:test";
import { deliver, forgeries, judge, vendors } from "./sign.mjs";

for (const vendor of vendors.filter(({ verify }) => verify)) {
  test(`${vendor.name}: ${vendor.packages.at(-1)} accepts what was signed and refuses what was forged`, { skip: vendor.missing }, async () => {
    const keys = vendor.keys();
    const request = await deliver(vendor, keys);
    const verdict = await judge(vendor, request, keys);
    assert.ok(verdict.accepted, verdict.why);
    const noticed = Object.entries(await forgeries(vendor, keys, request)).filter(([kind]) => !vendor.blindTo?.includes(kind));
    for (const [kind, forged] of noticed) {
      assert.ok(!(await judge(vendor, forged, keys)).accepted, `the forgery "${kind}" was accepted`);
    }
    for (const kind of vendor.blindTo ?? []) {
      const { accepted } = await judge(vendor, (await forgeries(vendor, keys, request))[kind], keys);
      assert.ok(accepted, `the SDK notices "${kind}" by now: take it out of blindTo`);
    }
  });
}
