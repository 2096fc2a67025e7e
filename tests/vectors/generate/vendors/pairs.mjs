// A header of pairs with the time in it: `t=…,v1=…`, HMAC-SHA256 in hex. Only Stripe and WorkOS publish a signer.
import { Mux } from "@mux/mux-node";
import { Paddle } from "@paddle/paddle-node-sdk";
import { WorkOS } from "@workos-inc/node";
import Stripe from "stripe";
import { hmac, text } from "../lib/keys.mjs";

const stripe = new Stripe("sk_test_unused");
const workos = new WorkOS("sk_test_unused");
const mux = new Mux({ tokenId: "unused", tokenSecret: "unused" });
const paddle = new Paddle("unused");

export const vendors = [
  {
    provider: "stripe",
    packages: ["stripe"],
    signature: "stripe-signature",
    tolerance: 300,
    keys: () => ({ secret: text("whsec_") }),
    event: ({ id }) => `{\n  "id": "evt_${id}",\n  "object": "event",\n  "type": "charge.succeeded",\n  "note": "genuine"\n}`,
    sign: ({ body, now }, { secret }) => ({
      headers: {
        "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: Math.floor(now / 1000) }),
      },
    }),
    verify({ body, headers }, { secret }, tolerance = 300) {
      stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret, tolerance);
    },
  },
  {
    // https://developer.paddle.com/webhooks/signature-verification
    provider: "paddle",
    packages: ["@paddle/paddle-node-sdk"],
    signature: "paddle-signature",
    tolerance: 5,
    keys: () => ({ secret: text("pdl_ntfset_") }),
    event: ({ id }) => `{"event_id":"evt_${id}","event_type":"transaction.completed","data":{"note":"genuine"}}`,
    sign({ body, now }, { secret }) {
      const time = Math.floor(now / 1000);
      return { headers: { "paddle-signature": `ts=${time};h1=${hmac("sha256", secret, `${time}:${body}`, "hex")}` } };
    },
    verify: ({ body, headers }, { secret }) => paddle.webhooks.isSignatureValid(body, secret, headers["paddle-signature"]),
  },
  {
    // https://www.mux.com/docs/core/verify-webhook-signatures
    provider: "mux",
    packages: ["@mux/mux-node"],
    signature: "mux-signature",
    tolerance: 300,
    keys: () => ({ secret: text("") }),
    event: ({ id }) => `{"type":"video.asset.ready","id":"${id}","object":{"type":"asset","id":"genuine"}}`,
    sign({ body, now }, { secret }) {
      const time = Math.floor(now / 1000);
      return { headers: { "mux-signature": `t=${time},v1=${hmac("sha256", secret, `${time}.${body}`, "hex")}` } };
    },
    verify: async ({ body, headers }, { secret }) => void (await mux.webhooks.verifySignature(body, headers, secret)),
  },
  {
    // Its SDK signs and verifies what JSON.stringify makes of the parsed body, so the body has to be just that.
    provider: "workos",
    packages: ["@workos-inc/node"],
    signature: "workos-signature",
    tolerance: 180,
    keys: () => ({ secret: text("") }),
    event: ({ id }) => JSON.stringify({ id: `wh_${id}`, event: "dsync.user.created", data: { state: "genuine" } }),
    async sign({ body, now }, { secret }) {
      const signature = await workos.webhooks.computeSignature(now, JSON.parse(body), secret);
      return { headers: { "workos-signature": `t=${now}, v1=${signature}` } };
    },
    async verify({ body, headers }, { secret }, tolerance = 180) {
      const sigHeader = headers["workos-signature"];
      return workos.webhooks.verifyHeader({ payload: JSON.parse(body), sigHeader, secret, tolerance: tolerance * 1000 });
    },
  },
];
