// Svix and Standard Webhooks: `id.timestamp.body`, HMAC-SHA256, a list of `v1,<base64>`.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
import { verifyWebhook } from "@clerk/backend/webhooks";
import { WebhookVerificationError, validateEvent } from "@polar-sh/sdk/webhooks";
import OpenAI from "openai";
import { validateWebhook } from "replicate";
import { Resend } from "resend";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";
import { standardSecret, text } from "../lib/keys.mjs";

function versioned(provider, { family = "webhook", Signer = StandardWebhook, keys = () => ({ secret: standardSecret() }), readKey = (secret) => secret, ...more }) {
  return {
    provider,
    packages: [Signer === SvixWebhook ? "svix" : "standardwebhooks"],
    signature: `${family}-signature`,
    tolerance: 300,
    keys,
    event: ({ id }) => `{"type":"user.created","data":{"id":"user_${id}","note":"genuine Zoë"}}`,
    sign({ id, body, now }, { secret }) {
      const signature = new Signer(readKey(secret)).sign(`msg_${id}`, new Date(now), body);
      const timestamp = String(Math.floor(now / 1000));
      return { headers: { [`${family}-id`]: `msg_${id}`, [`${family}-timestamp`]: timestamp, [`${family}-signature`]: signature } };
    },
    verify({ body, headers }, { secret }) {
      try {
        new Signer(readKey(secret)).verify(body, headers);
      } catch (error) {
        // Both libraries parse the body once it is verified; that it is no JSON is not their refusal.
        if (!(error instanceof SyntaxError)) throw error;
      }
    },
    ...more,
  };
}

export const vendors = [
  versioned("svix", { family: "svix", Signer: SvixWebhook }),
  versioned("standard-webhooks", {}),
  versioned("clerk", {
    family: "svix",
    Signer: SvixWebhook,
    packages: ["svix", "@clerk/backend"],
    async verify({ url, method, headers, bytes }, { secret }) {
      await verifyWebhook(new Request(url, { method, headers, body: bytes }), { signingSecret: secret });
    },
  }),
  versioned("resend", {
    family: "svix",
    Signer: SvixWebhook,
    packages: ["svix", "resend"],
    verify({ body, headers }, { secret }) {
      const { "svix-id": id, "svix-timestamp": timestamp, "svix-signature": signature } = headers;
      new Resend("re_unused").webhooks.verify({ payload: body, headers: { id, timestamp, signature }, webhookSecret: secret });
    },
  }),
  versioned("openai", {
    packages: ["standardwebhooks", "openai"],
    async verify({ body, headers }, { secret }, tolerance = 300) {
      await new OpenAI({ apiKey: "unused" }).webhooks.unwrap(body, headers, secret, tolerance);
    },
  }),
  // The key is the whole secret as text, though it may look like base64.
  versioned("polar", {
    packages: ["standardwebhooks", "@polar-sh/sdk"],
    keys: () => ({ secret: text("polar_whs_") }),
    readKey: (secret) => Buffer.from(secret).toString("base64"),
    verify({ body, headers }, { secret }) {
      try {
        validateEvent(body, headers, secret);
      } catch (error) {
        // It checks the event's fields after the signature; the bodies here are not whole events.
        if (error instanceof WebhookVerificationError || error.name !== "SDKValidationError") throw error;
      }
    },
  }),
  // Supabase has its users take the prefix off and call the Standard Webhooks library.
  versioned("supabase", { keys: () => ({ secret: standardSecret("v1,whsec_") }), readKey: (secret) => secret.replace("v1,whsec_", "") }),
  versioned("gitlab-signing-token", {}),
  versioned("replicate", {
    packages: ["standardwebhooks", "replicate"],
    blindTo: ["old"],
    verify({ body, headers }, { secret }) {
      return validateWebhook({ headers, body }, secret);
    },
  }),
];
