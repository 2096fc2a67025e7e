// A JWT with the hash of the body among its claims.
import { createSecretKey, randomUUID } from "node:crypto";
import { Receiver } from "@upstash/qstash";
import { SignJWT, jwtVerify, importSPKI } from "jose";
import { AccessToken, WebhookReceiver } from "livekit-server-sdk";
import messagebird from "messagebird/lib/webhook-signature-jwt.js";
import { p256, sha256, text } from "../lib/keys.mjs";

const event = ({ id }) => `{"id":"${id}","note":"genuine Zoë"}`;
const inSeconds = (ms) => Math.floor(ms / 1000);

export const vendors = [
  {
    provider: "livekit",
    packages: ["livekit-server-sdk"],
    signature: "authorization",
    tolerance: null,
    expires: true,
    type: "application/webhook+json",
    keys: () => ({ secret: text("lk_"), options: { api_key: text("API") } }),
    event: ({ id, now }) => `{"event":"room_started","id":"EV_${id}","createdAt":"${inSeconds(now)}","room":{"name":"genuine"}}`,
    async sign({ body }, { secret, options }) {
      const token = new AccessToken(options.api_key, secret, { ttl: "5m" });
      token.sha256 = sha256(body, "base64");
      return { headers: { authorization: await token.toJwt() } };
    },
    verify: async ({ body, headers }, { secret, options }) => void (await new WebhookReceiver(options.api_key, secret).receive(body, headers.authorization)),
  },
  {
    // https://upstash.com/docs/qstash/howto/signature
    provider: "qstash",
    signsUrl: true,
    packages: ["jose", "@upstash/qstash"],
    signature: "upstash-signature",
    tolerance: null,
    expires: true,
    keys: () => ({ secret: text("sig_current_"), options: { next_key: text("sig_next_") } }),
    event,
    async sign({ body, url, now }, { secret }) {
      const claims = { iss: "Upstash", sub: url, nbf: inSeconds(now), iat: inSeconds(now), exp: inSeconds(now) + 300, jti: `jwt_${randomUUID()}`, body: sha256(body, "base64url") };
      return { headers: { "upstash-signature": await hs256(claims, secret), "upstash-message-id": randomUUID() } };
    },
    verify: ({ url, body, headers }, { secret, options }) =>
      new Receiver({ currentSigningKey: secret, nextSigningKey: options?.next_key ?? secret }).verify({ signature: headers["upstash-signature"], body, url }),
  },
  {
    // https://developers.messagebird.com/api/#verifying-http-requests
    provider: "messagebird",
    signsUrl: true,
    packages: ["jose", "messagebird"],
    signature: "messagebird-signature-jwt",
    tolerance: null,
    expires: true,
    keys: () => ({ secret: text("") }),
    event,
    async sign({ body, url, now }, { secret }) {
      const claims = {
        iss: "MessageBird",
        nbf: inSeconds(now),
        exp: inSeconds(now) + 60,
        jti: randomUUID(),
        url_hash: sha256(url, "hex"),
        payload_hash: sha256(body, "hex"),
      };
      return { headers: { "messagebird-signature-jwt": await hs256(claims, secret) } };
    },
    verify: ({ url, bytes, headers }, { secret }) =>
      messagebird.verify(url, bytes, headers["messagebird-signature-jwt"], createSecretKey(Buffer.from(secret))),
  },
  {
    // https://plaid.com/docs/api/webhooks/webhook-verification/: its SDK only downloads keys; the page verifies with jose.
    provider: "plaid",
    onlySender: true,
    packages: ["jose"],
    signature: "plaid-verification",
    tolerance: 300,
    keys: () => p256("pem"),
    event,
    async sign({ body, now }, { signer }) {
      const jwt = new SignJWT({ request_body_sha256: sha256(body, "hex"), iat: inSeconds(now) });
      return { headers: { "plaid-verification": await jwt.setProtectedHeader({ alg: "ES256", kid: randomUUID(), typ: "JWT" }).sign(signer) } };
    },
    async verify({ bytes, headers }, { public_key: key }) {
      const { payload } = await jwtVerify(headers["plaid-verification"], await importSPKI(key, "ES256"), { algorithms: ["ES256"], maxTokenAge: "5 min" });
      return payload.request_body_sha256 === sha256(bytes, "hex");
    },
  },
];

function hs256(claims, secret) {
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(new TextEncoder().encode(secret));
}
