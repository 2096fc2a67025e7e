// The sender has the private key. No SDK signs; each vendor's page says how, and its SDK has to accept the result.
import { sign as signWith } from "node:crypto";
import sendgrid from "@sendgrid/eventwebhook";
import discord from "discord-interactions";
import { TelnyxWebhook } from "telnyx/lib/webhooks";
import { ed25519, p256 } from "../lib/keys.mjs";

const sendgridWebhook = new sendgrid.EventWebhook();

export const vendors = [
  {
    // https://docs.discord.com/developers/interactions/overview#setting-up-an-endpoint-validating-security-request-headers
    provider: "discord",
    packages: ["discord-interactions"],
    signature: "x-signature-ed25519",
    tolerance: 300,
    blindTo: ["old"],
    keys: () => ed25519("hex"),
    event: ({ id }) => `{"id":"${id}","type":3,"data":{"custom_id":"genuine"}}`,
    sign({ body, now }, { signer }) {
      const time = String(Math.floor(now / 1000));
      const signature = signWith(null, Buffer.from(time + body), signer).toString("hex");
      return { headers: { "x-signature-ed25519": signature, "x-signature-timestamp": time } };
    },
    verify: ({ bytes, headers }, { public_key: key }) =>
      discord.verifyKey(bytes, headers["x-signature-ed25519"], headers["x-signature-timestamp"], key),
  },
  {
    // https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
    provider: "telnyx",
    packages: ["telnyx"],
    signature: "telnyx-signature-ed25519",
    tolerance: 300,
    keys: () => ed25519("base64"),
    event: ({ id }) => `{"data":{"event_type":"message.received","id":"${id}","text":"genuine"}}`,
    sign({ body, now }, { signer }) {
      const time = String(Math.floor(now / 1000));
      const signature = signWith(null, Buffer.from(`${time}|${body}`), signer).toString("base64");
      return { headers: { "telnyx-signature-ed25519": signature, "telnyx-timestamp": time } };
    },
    verify: async ({ body, headers }, { public_key: key }) => void (await new TelnyxWebhook(key).verify(body, headers)),
  },
  {
    // https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
    provider: "sendgrid",
    onlySender: true,
    packages: ["@sendgrid/eventwebhook"],
    signature: "x-twilio-email-event-webhook-signature",
    tolerance: null, // a retry may keep its time, and its SDK compares none
    keys: () => p256("base64"),
    event: ({ id, now }) => `[{"email":"genuine@example.com","event":"delivered","sg_event_id":"${id}","timestamp":${Math.floor(now / 1000)}}]\r\n`,
    sign({ body, now }, { signer }) {
      const time = String(Math.floor(now / 1000));
      const signature = signWith("sha256", Buffer.from(time + body), signer).toString("base64");
      return { headers: { "x-twilio-email-event-webhook-signature": signature, "x-twilio-email-event-webhook-timestamp": time } };
    },
    verify: ({ bytes, headers }, { public_key: key }) =>
      sendgridWebhook.verifySignature(
        sendgridWebhook.convertPublicKeyToECDSA(key),
        bytes,
        headers["x-twilio-email-event-webhook-signature"],
        headers["x-twilio-email-event-webhook-timestamp"],
      ),
  },
];
