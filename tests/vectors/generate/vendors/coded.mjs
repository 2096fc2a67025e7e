// Schemes that a template cannot describe: sorted form fields, signatures inside the body, chosen headers.
import { createHash, createPublicKey, sign as signWith } from "node:crypto";
import { EventEmitter } from "node:events";
import https from "node:https";
import adyen from "@adyen/api-library";
import { signRequest, verifyRequest } from "@contentful/node-apps-toolkit";
import { EventCallbackHelper } from "@dropbox/sign";
import httpSignatures from "http-message-signatures";
import SnsValidator from "sns-validator";
import twilio from "twilio";
import { selfSigned } from "../lib/certificate.mjs";
import { ed25519, hex, hmac, sha256, text } from "../lib/keys.mjs";
import { python } from "../lib/python.mjs";

const { getExpectedBodyHash, getExpectedTwilioSignature, validateRequest, validateRequestWithBody } = twilio;
const adyenHmac = new adyen.hmacValidator();
const form = "application/x-www-form-urlencoded";
const certificateUrl = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0123456789abcdef0123456789abcdef.pem";
const topic = "arn:aws:sns:us-east-1:123456789012:genuine";

export const vendors = [
  {
    provider: "twilio",
    signsUrl: true,
    packages: ["twilio"],
    signature: "x-twilio-signature",
    tolerance: null,
    type: form,
    keys: () => ({ secret: hex(16) }),
    event: ({ id }) => `MessageSid=SM${id}&From=%2B14158675309&Body=genuine+Zo%C3%AB%21&Body=and+more&Empty=&AccountSid=AC1`,
    sign: ({ url, body }, { secret }) => ({ headers: { "x-twilio-signature": getExpectedTwilioSignature(secret, `${url}?foo=1&bar=2`, fields(body)) }, url: `${url}?foo=1&bar=2` }),
    verify: twilioVerify,
  },
  {
    provider: "twilio",
    signsUrl: true,
    variant: "json",
    packages: ["twilio"],
    signature: "x-twilio-signature",
    tolerance: null,
    keys: () => ({ secret: hex(16) }),
    event: ({ id }) => `{"id":"${id}","type":"com.twilio.messaging.message.sent","note":"genuine"}`,
    sign({ url, body }, { secret }) {
      const signed = `${url}?bodySHA256=${getExpectedBodyHash(body)}`;
      return { headers: { "x-twilio-signature": getExpectedTwilioSignature(secret, signed, {}) }, url: signed };
    },
    verify: twilioVerify,
  },
  {
    // https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/#authenticating-webhook-requests
    provider: "mandrill",
    signsUrl: true,
    packages: ["pypi:django-anymail"],
    signature: "x-mandrill-signature",
    tolerance: null,
    type: form,
    keys: () => ({ secret: text("") }),
    event: ({ id }) => `mandrill_events=${encodeURIComponent(JSON.stringify([{ event: "send", _id: id, note: "genuine" }]))}`,
    sign({ url, body }, { secret }) {
      const sorted = Object.entries(fields(body)).sort(([one], [other]) => (one < other ? -1 : 1));
      return { headers: { "x-mandrill-signature": hmac("sha1", secret, url + sorted.flat().join(""), "base64") } };
    },
    verify: ({ url, bytes, headers }, { secret }) => python("mandrill_verify", { secret, url, body: bytes.toString("base64"), headers }),
  },
  {
    // https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks: only the token is signed.
    provider: "mailgun",
    packages: ["pypi:django-anymail"],
    tolerance: 300,
    blindTo: ["old"],
    keys: () => ({ secret: hex(16) }),
    event: () => "",
    sign({ id, now }, { secret }) {
      const [timestamp, token] = [String(Math.floor(now / 1000)), hex(25)];
      const signature = { token, timestamp, signature: hmac("sha256", secret, timestamp + token, "hex") };
      return { headers: {}, body: JSON.stringify({ signature, "event-data": { id, event: "delivered" } }) };
    },
    verify: ({ bytes, headers }, { secret }) => python("mailgun_verify", { secret, body: bytes.toString("base64"), headers }),
    tamper: { body: inBody(/"token":"./, '"token":"x'), signature: inBody(/("signature":"[0-9a-f]{40})./, flipped) },
  },
  {
    // Eight fields of each item are signed; the rest of the body is not.
    provider: "adyen-payments",
    packages: ["@adyen/api-library"],
    tolerance: null,
    keys: () => ({ secret: hex().toUpperCase() }),
    event: () => "",
    sign({ id }, { secret }) {
      const item = {
        additionalData: {},
        amount: { currency: "EUR", value: 1130 },
        eventCode: "AUTHORISATION",
        eventDate: "2026-11-01T12:00:00+01:00",
        merchantAccountCode: "TestAccount",
        merchantReference: "genuine:1",
        originalReference: "",
        pspReference: id,
        success: "true",
      };
      item.additionalData.hmacSignature = adyenHmac.calculateHmac(item, secret);
      return { headers: {}, body: JSON.stringify({ live: "false", notificationItems: [{ NotificationRequestItem: item }] }) };
    },
    verify({ body }, { secret }) {
      const { notificationItems } = JSON.parse(body);
      return notificationItems.length > 0 && notificationItems.every(({ NotificationRequestItem: item }) => adyenHmac.validateHMAC(item, secret));
    },
    tamper: { signature: inBody(/("hmacSignature":".{20})./, flipped) },
  },
  // https://developers.hellosign.com/docs/events/walkthrough/: only the time and the type are signed. It sends a form;
  // the JSON alone is what `hookward sign` takes.
  ...[undefined, "multipart"].map((variant) => ({
    provider: "dropbox-sign",
    variant,
    packages: ["@dropbox/sign"],
    tolerance: null,
    keys: () => ({ secret: hex() }),
    event: () => "",
    sign({ now }, { secret }) {
      const [time, type] = [String(Math.floor(now / 1000)), "signature_request_sent"];
      const event = { event_type: type, event_time: time, event_hash: hmac("sha256", secret, time + type, "hex"), event_metadata: {} };
      const json = JSON.stringify({ event, signature_request: { title: "x" } });
      if (!variant) return { headers: {}, body: json };
      const boundary = `boundary-${hex(8)}`;
      return {
        headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
        body: `--${boundary}\r\nContent-Disposition: form-data; name="json"\r\n\r\n${json}\r\n--${boundary}--\r\n`,
      };
    },
    async verify({ bytes, headers }, { secret }) {
      const multipart = /^multipart/.test(headers["content-type"]);
      const json = multipart ? (await new Response(bytes, { headers }).formData()).get("json") : bytes.toString();
      const { event_time: eventTime, event_type: eventType, event_hash: eventHash } = JSON.parse(json).event;
      return EventCallbackHelper.isValid(secret, { event: { eventTime, eventType, eventHash } });
    },
    tamper: { body: inBody("request_sent", "request_paid"), signature: inBody(/("event_hash":"[0-9a-f]{40})./, flipped) },
  })),
  {
    provider: "contentful",
    packages: ["@contentful/node-apps-toolkit"],
    signature: "x-contentful-signature",
    tolerance: 30,
    keys: () => ({ secret: hex() }),
    event: ({ id }) => `{"sys":{"id":"${id}"},"fields":{"note":"genuine"}}`,
    sign({ method, url, body, now }, { secret }) {
      const headers = { "content-type": "application/json", "x-contentful-topic": "ContentManagement.Entry.publish" };
      return { headers: { ...headers, ...signRequest(secret, { method, path: new URL(url).pathname, headers, body }, now) } };
    },
    verify({ method, url, headers, body }, { secret }, tolerance = 30) {
      const { pathname, search } = new URL(url);
      return verifyRequest(secret, { method, path: pathname + search, headers, body }, tolerance);
    },
  },
  {
    // https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
    provider: "aws-sns",
    onlySender: true,
    packages: ["sns-validator"],
    tolerance: null,
    type: "text/plain; charset=UTF-8",
    keys() {
      const { pem, privateKey } = selfSigned("sns.amazonaws.com");
      return { options: { cert_pem: pem }, topic, signer: privateKey };
    },
    event: () => "",
    sign({ id, now }, { signer }) {
      const message = {
        Type: "Notification",
        MessageId: id,
        TopicArn: topic,
        Message: "Zoë said\nhello",
        Timestamp: new Date(now).toISOString(),
        SignatureVersion: "2",
        SigningCertURL: certificateUrl,
      };
      const signed = ["Message", "MessageId", "Timestamp", "TopicArn", "Type"].map((name) => `${name}\n${message[name]}\n`).join("");
      message.Signature = signWith("sha256", Buffer.from(signed), signer).toString("base64");
      return { headers: { "x-amz-sns-message-type": message.Type, "x-amz-sns-topic-arn": message.TopicArn }, body: JSON.stringify(message) };
    },
    verify: ({ body }, { options }) => withCertificate(options.cert_pem, (url) => new Promise((done) => new SnsValidator().validate(withUrl(body, url), (error) => done(!error)))),
    tamper: { body: inBody("Zoë said", "Zoë paid"), signature: inBody(/("Signature":".{40})./, flipped) },
  },
  ...[
    { alg: "hmac-sha256", keys: () => ({ secret: Buffer.from(hex(), "hex").toString("base64") }) },
    { alg: "ed25519", keys: ed25519Pem },
  ].map(({ alg, keys }) => ({
    // No vendor's, but independent of us. It leaves Content-Digest to its user (RFC 9421 §7.2.8).
    provider: "rfc9421",
    signsUrl: true,
    variant: alg,
    packages: ["http-message-signatures"],
    signature: "signature",
    tolerance: 300,
    keys: () => ({ ...keys(), options: { label: "sig1", alg } }),
    event: ({ id }) => `{"id":"${id}","note":"genuine"}`,
    async sign({ method, url, body }, given) {
      const headers = { "content-type": "application/json", "content-digest": `sha-256=:${sha256(body, "base64")}:` };
      const key = httpSignatures.createSigner(alg === "hmac-sha256" ? Buffer.from(given.secret, "base64") : given.signer, alg, "test-key");
      const config = { key, name: "sig1", fields: ["@method", "@authority", "@path", "@query", "content-digest"], params: ["created", "keyid"] };
      const signed = await httpSignatures.httpbis.signMessage(config, { method, url: `${url}?a=1`, headers });
      return { headers: lowerCase(signed.headers), url: `${url}?a=1` };
    },
    async verify({ method, url, headers, bytes }, { secret, public_key: publicKey, options }, tolerance = 300) {
      const key = secret ? Buffer.from(secret, "base64") : createPublicKey(publicKey);
      const verify = httpSignatures.createVerifier(key, options.alg);
      const digests = { "sha-256": "sha256", "sha-512": "sha512" };
      for (const [, name, value] of (headers["content-digest"] ?? "").matchAll(/(sha-\d+)=:([^:]*):/g)) {
        if (createHash(digests[name]).update(bytes).digest("base64") !== value) throw new Error("another body");
      }
      const verified = await httpSignatures.httpbis.verifyMessage(
        { keyLookup: async () => ({ algs: [options.alg], verify }), maxAge: tolerance, tolerance: 0 },
        { method, url, headers },
      );
      return verified === true;
    },
  })),
];

function twilioVerify({ url, body, bytes, headers }, { secret }) {
  const signature = headers["x-twilio-signature"];
  if (headers["content-type"] === form || !bytes.length) return validateRequest(secret, signature, url, fields(body));
  return validateRequestWithBody(secret, signature, url, body);
}

// A form as its reader sees it: repeated names become lists.
function fields(body) {
  const all = new URLSearchParams(body);
  return Object.fromEntries([...new Set(all.keys())].map((name) => [name, all.getAll(name).length > 1 ? all.getAll(name) : all.get(name)]));
}

function inBody(pattern, replacement) {
  return (request) => {
    const body = request.bytes.toString().replace(pattern, replacement);
    return { ...request, bytes: Buffer.from(body) };
  };
}

function flipped(match, before) {
  return before + (match.endsWith("a") ? "b" : "a");
}

function ed25519Pem() {
  const { signer, signing_key: signingKey } = ed25519("hex");
  return { public_key: createPublicKey(signer).export({ type: "spki", format: "pem" }), signer, signing_key: signingKey };
}

function lowerCase(headers) {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

// The validator keeps certificates by address, and has no way to be given one: the download is answered here.
let downloads = 0;
async function withCertificate(pem, work) {
  const { get } = https;
  https.get = (_, answered) => {
    const response = Object.assign(new EventEmitter(), { statusCode: 200 });
    answered(response);
    response.emit("data", pem);
    response.emit("end");
    return new EventEmitter();
  };
  try {
    downloads += 1;
    return await work(downloads);
  } finally {
    https.get = get;
  }
}

// The address is not among the signed fields.
function withUrl(body, number) {
  const message = JSON.parse(body);
  if (typeof message.SigningCertURL === "string") message.SigningCertURL = message.SigningCertURL.replace(/\.pem$/, `-${number}.pem`);
  return message;
}
