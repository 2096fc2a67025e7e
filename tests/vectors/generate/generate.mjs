// Fresh cases in the format of vectors.json, and what the SDKs say about vectors.json itself. Started by ./run.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { disagreements, recheck } from "./lib/recheck.mjs";
import { deliver, forgeries, judge, released, vendors } from "./sign.mjs";

const folder = new URL("../", import.meta.url);

const reasons = {
  body: "one byte of what is signed differs",
  signature: "one letter of the signature differs",
  none: "no signature at all",
  key: "signed with another key",
  old: "signed one hour ago",
};

async function main(args) {
  if (args.some((argument) => argument !== "--write")) {
    console.error("usage: tests/vectors/generate/run [--write]");
    return 2;
  }
  const made = [];
  for (const vendor of vendors.filter(({ verify, missing }) => verify && !missing)) made.push(...(await casesOf(vendor)));
  const text = `[\n${made.map((one) => JSON.stringify(one)).join(",\n")}\n]\n`;
  if (args.length) writeFileSync(new URL("generated.json", folder), text);
  else process.stdout.write(text);
  console.error(`${made.length} cases made${args.length ? `: ${fileURLToPath(new URL("generated.json", folder))}` : ""}`);
  for (const { name, missing } of vendors.filter(({ missing }) => missing)) console.error(`SKIP ${name}: ${missing}`);

  const cases = JSON.parse(readFileSync(new URL("vectors.json", folder)));
  const verdicts = await recheck(cases);
  const wrong = disagreements(verdicts);
  for (const { case: one, package: sdk, accepted, why } of wrong) {
    console.error(`${one.provider}, ${one.name}: expected ${one.expect}, ${sdk} ${accepted ? "accepts" : "rejects"} (${why})`);
  }
  console.error(`vectors.json: ${verdicts.length} of ${cases.length} cases asked about, ${wrong.length} disagreements`);
  return wrong.length ? 1 : 0;
}

async function casesOf(vendor) {
  const now = Math.floor(Date.now() / 1000);
  const keys = vendor.keys();
  const { secret, public_key: publicKey, options } = keys;
  const sdks = await Promise.all(vendor.packages.map(released));
  const request = await deliver(vendor, keys, { now: now * 1000 });
  const forged = await forgeries(vendor, keys, request, { now: now * 1000 });

  const cases = [];
  for (const [kind, sent] of Object.entries({ genuine: request, ...forged })) {
    const { accepted, why } = await judge(vendor, sent, keys, { now: now * 1000 });
    const blind = vendor.blindTo?.includes(kind) ?? false;
    if (accepted !== (kind === "genuine" || blind)) throw new Error(`${vendor.name}, ${kind}: ${sdks.at(-1)} ${why}`);
    cases.push({
      provider: vendor.provider,
      name: [vendor.variant, kind === "genuine" ? "genuine" : reasons[kind]].filter(Boolean).join(": "),
      source: `generated; ${sdks.join(", ")}`,
      secret,
      public_key: publicKey,
      method: sent.method,
      url: sent.url,
      headers: sent.headers,
      body_base64: sent.bytes.toString("base64"),
      now,
      tolerance: vendor.tolerance,
      expect: kind === "genuine" ? "accept" : "reject",
      why: kind === "genuine" ? "made by the vendor's rules" : reasons[kind],
      confirmed_by: blind ? [] : [sdks.at(-1)],
      disagrees: blind ? [sdks.at(-1)] : undefined,
      options,
    });
  }
  return cases;
}

process.exitCode = await main(process.argv.slice(2));
