// Asks the vendors' SDKs about cases in the format of vectors.json, each at the case's own time.
import { judge, vendors } from "../sign.mjs";

// What an SDK takes although the case says "reject".
const lax = [
  { provider: "svix", name: "empty secret after whsec_ prefix", why: "it bundles standardwebhooks 1.0.0, which takes an empty key" },
];

// [{ case, package, accepted, why }], without the cases of vendors that have no SDK here.
export async function recheck(cases) {
  const verdicts = [];
  for (const one of cases) {
    const vendor = vendors.find(({ provider, verify, missing }) => provider === one.provider && verify && !missing);
    if (!vendor) continue;
    const { accepted, why } = await judge(vendor, requestOf(one), one, { now: one.now * 1000, tolerance: one.tolerance });
    verdicts.push({ case: one, package: vendor.packages.at(-1).replace("pypi:", ""), accepted, why });
  }
  return verdicts;
}

export function disagreements(verdicts) {
  return verdicts.filter(({ case: { provider, name, expect }, accepted }) => {
    const known = lax.some((entry) => entry.provider === provider && entry.name === name);
    return accepted !== ((expect === "accept") !== known);
  });
}

function requestOf({ method = "POST", url = "https://example.com/webhook", headers, body_base64: body }) {
  const lowerCase = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]);
  return { method, url, headers: Object.fromEntries(lowerCase), bytes: Buffer.from(body, "base64") };
}
