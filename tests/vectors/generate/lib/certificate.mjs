// A self-signed certificate (RFC 5280 §4.1) for a key pair made in the test; Node can read them, not make them.
import { generateKeyPairSync, sign } from "node:crypto";

export function selfSigned(commonName) {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const year = new Date().getUTCFullYear();
  const name = sequence(set(sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(commonName)))));
  const sha256WithRsa = sequence(oid(0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b), der(0x05, Buffer.alloc(0)));
  const content = sequence(
    der(0xa0, integer(2)),
    integer(1),
    sha256WithRsa,
    name,
    sequence(utcTime(year - 1), utcTime(year + 1)),
    name,
    publicKey.export({ type: "spki", format: "der" }),
  );
  const certificate = sequence(content, sha256WithRsa, bits(sign("sha256", content, privateKey)));
  const lines = certificate.toString("base64").match(/.{1,64}/g).join("\n");
  return { pem: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`, privateKey };
}

function der(tag, content) {
  const { length } = content;
  const head = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

function sequence(...parts) {
  return der(0x30, Buffer.concat(parts));
}

function set(...parts) {
  return der(0x31, Buffer.concat(parts));
}

function oid(...bytes) {
  return der(0x06, Buffer.from(bytes));
}

function integer(value) {
  return der(0x02, Buffer.from([value]));
}

function bits(content) {
  return der(0x03, Buffer.concat([Buffer.from([0]), content]));
}

function utcTime(year) {
  return der(0x17, Buffer.from(`${String(year).slice(2)}0101000000Z`));
}
