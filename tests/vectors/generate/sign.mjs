// Every vendor whose SDK can sign or verify, and what all of them have in common.
//
// A vendor is one object in vendors/:
//   provider, variant   hookward's name for it, and which of several shapes
//   packages            the SDKs: the one that signs first; "pypi:" are those of sign.py
//   keys()              fresh keys (lib/keys.mjs)
//   event({ id, now })  the body as text, with "genuine" in a place that the signature covers
//   sign(delivery, keys)            headers, and body and url where it decides them. `delivery` is { id, method, url,
//                                   body, bytes, now }, now in ms since 1970
//   verify(request, keys, tolerance)  the vendor's own check; false or an exception refuses. `request` is { method, url,
//                                   headers (lower-case names), body (text), bytes }, tolerance in seconds
//   signature           the header or headers to tamper with
//   tolerance, expires  seconds that a delivery stays good; null and true if the delivery says so itself
//   type                the content-type, if not JSON
//   signsUrl            the address is part of what is signed
//   onlySender          hookward has no use for the private key, so it cannot sign
//   tamper              { body, signature }: how, where the body's "genuine" or the header's letter is not the place
//   unsigned            parts that tampering must not concern: the scheme does not sign them
//   blindTo             tampering that the SDK, unlike hookward, does not notice
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { at } from "./lib/clock.mjs";
import { noPython, python } from "./lib/python.mjs";
import { vendors as body } from "./vendors/body.mjs";
import { vendors as coded } from "./vendors/coded.mjs";
import { vendors as jwt } from "./vendors/jwt.mjs";
import { vendors as keypairs } from "./vendors/keypairs.mjs";
import { vendors as pairs } from "./vendors/pairs.mjs";
import { vendors as timed } from "./vendors/timed.mjs";
import { vendors as versioned } from "./vendors/versioned.mjs";

export const vendors = [...versioned, ...pairs, ...body, ...timed, ...keypairs, ...coded, ...jwt].map((vendor) => ({
  ...vendor,
  name: [vendor.provider, vendor.variant].filter(Boolean).join("-"),
  missing: noPython && vendor.packages.some((name) => name.startsWith("pypi:")) ? noPython : false,
}));

const hour = 3_600_000;

// What the vendor would send to `url` at `now`.
export async function deliver(vendor, keys, { url = `https://hooks.example.com/hooks/${vendor.name}`, method = "POST", now = Date.now() } = {}) {
  const id = randomBytes(12).toString("hex");
  const body = vendor.event({ id, now });
  const delivery = { id, method, url, body, bytes: Buffer.from(body), now };
  const made = await at(now, () => vendor.sign(delivery, keys));
  const bytes = Buffer.from(made.body ?? body);
  return { method, url: made.url ?? url, headers: { "content-type": vendor.type ?? "application/json", ...made.headers }, bytes };
}

// Does the vendor's own check take this request at `now`? { accepted, why }
export async function judge(vendor, request, keys, { now = Date.now(), tolerance } = {}) {
  try {
    const given = { ...request, body: request.bytes.toString() };
    const verdict = await at(now, () => vendor.verify(given, keys, tolerance ?? undefined));
    return { accepted: verdict !== false, why: `answered ${verdict}` };
  } catch (error) {
    return { accepted: false, why: `${error?.name}: ${error?.message}` };
  }
}

// The forgeries that can be made of a delivery: { kind: request }. `again` is how the delivery was made.
export async function forgeries(vendor, keys, request, again = {}) {
  const { tamper = {}, unsigned = [] } = vendor;
  const made = {
    body: unsigned.includes("body") ? undefined : (tamper.body ?? otherBody)(request),
    signature: (tamper.signature ?? otherLetter(vendor))(request),
    none: vendor.signature ? without(vendor, request) : undefined,
    key: await deliver(vendor, otherKeys(vendor, keys), again),
    old: vendor.tolerance || vendor.expires ? await deliver(vendor, keys, { ...again, now: (again.now ?? Date.now()) - hour }) : undefined,
  };
  const forged = Object.entries(made).filter(([, forgery]) => forgery);
  for (const [kind, { headers, bytes }] of forged) {
    const same = JSON.stringify(headers) === JSON.stringify(request.headers) && bytes.equals(request.bytes);
    if (same) throw new Error(`${vendor.name}: nothing is wrong with the forgery "${kind}"`);
  }
  return Object.fromEntries(forged);
}

// "svix@1.99.1", from what is installed.
export async function released(name) {
  if (name.startsWith("pypi:")) {
    const distribution = name.slice("pypi:".length);
    return `${distribution}@${await python("version", { package: distribution })} (PyPI)`;
  }
  const manifest = new URL(`node_modules/${name}/package.json`, import.meta.url);
  return `${name}@${JSON.parse(readFileSync(manifest)).version}`;
}

function otherBody(request) {
  return { ...request, bytes: Buffer.from(request.bytes.toString().replace("genuine", "genuinE")) };
}

// Not in the last letters, where base64 has bits that do not count.
function otherLetter({ signature }) {
  return (request) => {
    const headers = { ...request.headers };
    for (const name of [signature].flat()) {
      const letters = [...headers[name]];
      const place = letters.length - 8;
      letters[place] = letters[place] === "a" ? "b" : "a";
      headers[name] = letters.join("");
    }
    return { ...request, headers };
  };
}

function without({ signature }, request) {
  const names = [signature].flat();
  return { ...request, headers: Object.fromEntries(Object.entries(request.headers).filter(([name]) => !names.includes(name))) };
}

// Other keys, but the same public names of keys: those an attacker knows.
function otherKeys(vendor, { options }) {
  const { options: fresh, ...others } = vendor.keys();
  const known = ["key_id", "api_key", "label", "alg"].filter((name) => name in (options ?? {}));
  return { ...others, options: fresh && { ...fresh, ...Object.fromEntries(known.map((name) => [name, options[name]])) } };
}
