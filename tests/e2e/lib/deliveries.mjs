// Genuine deliveries: the sample bodies, and headers made by signers that hookward shares no code with.
import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as Svix } from "svix";
import { here, secrets } from "./processes.mjs";

const samples = join(here, "data/clerk-samples");

export function sampleBodies() {
  return ["", "compact", "byte-sensitive"].flatMap((folder) =>
    readdirSync(join(samples, folder))
      .filter((name) => /\.(json|bin)$/.test(name))
      .map((name) => ({ name: join(folder, name), body: readFileSync(join(samples, folder, name)) })),
  );
}

export const userCreated = readFileSync(join(samples, "compact/user.created.json"));

// What svix, and so Clerk, sends. `at` is in seconds.
export function svixHeaders(body, options = {}) {
  return signed("svix", Svix, { secret: secrets.CLERK_WEBHOOK_SIGNING_SECRET, ...options }, body);
}

export function standardHeaders(body, options = {}) {
  return signed("webhook", StandardWebhook, { secret: secrets.STANDARD_SECRET, ...options }, body);
}

function signed(family, Signer, { secret, id = newId(), at = nowSeconds() }, body) {
  const bytes = Buffer.from(body);
  // Both libraries sign text only; a body that is not UTF-8 is signed by the published formula instead.
  const signature = Buffer.from(bytes.toString()).equals(bytes)
    ? new Signer(secret).sign(id, new Date(at * 1000), bytes.toString())
    : `v1,${mac(secret, Buffer.concat([Buffer.from(`${id}.${at}.`), bytes]))}`;
  return { [`${family}-id`]: id, [`${family}-timestamp`]: String(at), [`${family}-signature`]: signature };
}

function mac(secret, content) {
  return createHmac("sha256", Buffer.from(secret.replace("whsec_", ""), "base64")).update(content).digest("base64");
}

export function newId() {
  return `msg_${randomBytes(12).toString("hex")}`;
}

export function nowSeconds() {
  return Math.floor(Date.now() / 1000);
}

export function otherSecret() {
  return `whsec_${randomBytes(32).toString("base64")}`;
}

export function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

// The verified-event header as an object; it holds strings and integers only (RFC 9651, dictionary).
export function readVerifiedEvent(value) {
  const members = {};
  for (const [, key, text, number] of value.matchAll(/([a-z][a-z0-9_*-]*)=(?:"((?:[^"\\]|\\.)*)"|(-?\d+))(?:;[^,]*)?(?:, |$)/g)) {
    members[key] = text === undefined ? Number(number) : text.replace(/\\(.)/g, "$1");
  }
  return members;
}
