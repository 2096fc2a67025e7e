// Fresh test keys. A vendor's keys are { secret or public_key, options? } as in vectors.json; of a key pair also
// `signer`, the private key, and for Ed25519 `signing_key`, the same as `hookward sign` takes it.
import { createHash, createHmac, generateKeyPairSync, randomBytes } from "node:crypto";

export function text(prefix = "test_") {
  return `${prefix}${randomBytes(16).toString("hex")}`;
}

export function standardSecret(prefix = "whsec_") {
  return `${prefix}${randomBytes(32).toString("base64")}`;
}

export function hex(bytes = 32) {
  return randomBytes(bytes).toString("hex");
}

// An Ed25519 pair whose public key vendors show as its 32 bytes.
export function ed25519(encoding) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = (key, member) => Buffer.from(key.export({ format: "jwk" })[member], "base64url").toString(encoding);
  return { public_key: raw(publicKey, "x"), signer: privateKey, signing_key: raw(privateKey, "d") };
}

// A P-256 pair whose public key vendors show as SubjectPublicKeyInfo, in PEM or in base64.
export function p256(form) {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    public_key: form === "pem" ? publicKey.export({ type: "spki", format: "pem" }) : publicKey.export({ type: "spki", format: "der" }).toString("base64"),
    signer: privateKey,
  };
}

export function hmac(algorithm, key, content, encoding) {
  return createHmac(algorithm, key).update(content).digest(encoding);
}

export function sha256(content, encoding) {
  return createHash("sha256").update(content).digest(encoding);
}
