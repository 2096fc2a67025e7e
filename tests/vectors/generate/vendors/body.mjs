// The body alone is signed, and one header has the signature. Where the SDK cannot sign, the vendor's page says how.
import adyen from "@adyen/api-library";
import EasyPost from "@easypost/api";
import { validateSignature } from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import { signWebhookPayload, verifyWebhookSignature } from "@notionhq/client";
import * as octokit from "@octokit/webhooks-methods";
import "@shopify/shopify-api/adapters/node";
import { LogSeverity, shopifyApi } from "@shopify/shopify-api";
import coinbase from "coinbase-commerce-node";
import { parse as parseGocardless } from "gocardless-nodejs/webhooks";
import Pusher from "pusher";
import Razorpay from "razorpay";
import { hex, hmac, text } from "../lib/keys.mjs";

const adyenHmac = new adyen.hmacValidator();
const easypost = new EasyPost("unused");

function bodyOnly(provider, signature, { packages, keys = () => ({ secret: text() }), sign, verify, headers = () => ({}), ...more }) {
  return {
    provider,
    packages,
    signature,
    tolerance: null,
    keys,
    event: ({ id }) => `{"id":"${id}","type":"thing.created","data":{"note":"genuine"}}`,
    sign: async (delivery, given) => ({ headers: { [signature]: await sign(delivery, given), ...headers(delivery, given) } }),
    verify,
    ...more,
  };
}

function shopify(signature, headers) {
  return bodyOnly("shopify", signature, {
    packages: ["@shopify/shopify-api"],
    // https://shopify.dev/docs/apps/build/webhooks/subscribe/https
    sign: ({ body }, { secret }) => hmac("sha256", secret, body, "base64"),
    headers,
    async verify({ method, url, headers: sent, body }, { secret }) {
      const api = shopifyApi({
        apiKey: "unused",
        apiSecretKey: secret,
        apiVersion: "2026-10",
        hostName: "example.com",
        isEmbeddedApp: false,
        logger: { level: LogSeverity.Error },
      });
      const rawRequest = { method, url: new URL(url).pathname, headers: sent };
      const { valid, reason, missingHeaders } = await api.webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} });
      if (!valid) throw new Error(`${reason} ${missingHeaders ?? ""}`);
    },
  });
}

export const vendors = [
  bodyOnly("github", "x-hub-signature-256", {
    packages: ["@octokit/webhooks-methods"],
    sign: ({ body }, { secret }) => octokit.sign(secret, body),
    headers: ({ id }) => ({ "x-github-event": "push", "x-github-delivery": id }),
    verify: ({ body, headers }, { secret }) => octokit.verify(secret, body, headers["x-hub-signature-256"]),
  }),
  // The header's new name comes first: hookward signs with it.
  shopify("shopify-hmac-sha256", ({ id }) => ({
    "shopify-topic": "products/create",
    "shopify-shop-domain": "shop1.myshopify.com",
    "shopify-api-version": "2026-10",
    "shopify-webhook-id": id,
    "shopify-event-id": id,
  })),
  {
    ...shopify("x-shopify-hmac-sha256", ({ id }) => ({
      "x-shopify-topic": "products/create",
      "x-shopify-shop-domain": "shop1.myshopify.com",
      "x-shopify-api-version": "2026-10",
      "x-shopify-webhook-id": id,
    })),
    variant: "old-header",
  },
  // https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/
  bodyOnly("line", "x-line-signature", {
    packages: ["@line/bot-sdk"],
    sign: ({ body }, { secret }) => hmac("sha256", secret, body, "base64"),
    verify: ({ bytes, headers }, { secret }) => validateSignature(bytes, secret, headers["x-line-signature"]),
  }),
  // https://razorpay.com/docs/webhooks/validate-test/
  bodyOnly("razorpay", "x-razorpay-signature", {
    packages: ["razorpay"],
    sign: ({ body }, { secret }) => hmac("sha256", secret, body, "hex"),
    headers: ({ id }) => ({ "x-razorpay-event-id": id }),
    verify: ({ body, headers }, { secret }) => Razorpay.validateWebhookSignature(body, headers["x-razorpay-signature"], secret),
  }),
  // https://linear.app/developers/webhooks: the time is in the body.
  bodyOnly("linear", "linear-signature", {
    packages: ["@linear/sdk"],
    tolerance: 60,
    keys: () => ({ secret: text("lin_wh_") }),
    event: ({ id, now }) => `{"action":"create","type":"Issue","data":{"id":"${id}","title":"genuine é"},"webhookTimestamp":${now}}`,
    sign: ({ body }, { secret }) => hmac("sha256", secret, body, "hex"),
    headers: ({ id }) => ({ "linear-delivery": id, "linear-event": "Issue" }),
    verify({ bytes, headers }, { secret }) {
      return new LinearWebhookClient(secret).verify(bytes, headers["linear-signature"], JSON.parse(bytes).webhookTimestamp);
    },
  }),
  bodyOnly("notion", "x-notion-signature", {
    packages: ["@notionhq/client"],
    keys: () => ({ secret: text("secret_") }),
    sign: ({ body }, { secret }) => signWebhookPayload({ body, verificationToken: secret }),
    verify: ({ bytes, headers }, { secret }) =>
      verifyWebhookSignature({ body: bytes, signature: headers["x-notion-signature"], verificationToken: secret }),
  }),
  // https://developer.gocardless.com/api-reference/#webhooks-signing-webhooks
  bodyOnly("gocardless", "webhook-signature", {
    packages: ["gocardless-nodejs"],
    event: ({ id }) => `{"events":[{"id":"EV${id}","action":"genuine"}],"meta":{"webhook_id":"WB${id}"}}`,
    sign: ({ body }, { secret }) => hmac("sha256", secret, body, "hex"),
    verify: ({ body, headers }, { secret }) => void parseGocardless(body, secret, headers["webhook-signature"]),
  }),
  // https://pusher.com/docs/channels/server_api/webhooks/#authentication
  bodyOnly("pusher", "x-pusher-signature", {
    packages: ["pusher"],
    keys: () => ({ secret: text(""), options: { key_id: hex(10) } }),
    event: ({ id, now }) => `{"time_ms":${now},"events":[{"name":"channel_occupied","channel":"genuine-${id}"}]}`,
    sign: ({ body }, { secret }) => hmac("sha256", secret, body, "hex"),
    headers: (_, { options }) => ({ "x-pusher-key": options.key_id }),
    verify: ({ body, headers }, { secret, options }) =>
      new Pusher({ appId: "1", key: options.key_id, secret, cluster: "unused" }).webhook({ headers, rawBody: body }).isValid(),
  }),
  bodyOnly("coinbase-commerce", "x-cc-webhook-signature", {
    packages: ["coinbase-commerce-node"],
    event: ({ id }) => `{"id":1,"event":{"id":"${id}","type":"charge:created","note":"genuine"}}`,
    sign: ({ body }, { secret }) => coinbase.Webhook.computeSignature(body, secret),
    verify: ({ body, headers }, { secret }) => void coinbase.Webhook.verifyEventBody(body, headers["x-cc-webhook-signature"], secret),
  }),
  // https://docs.easypost.com/guides/webhooks-guide: the secret is normalised (NFKD), which is not the identity here.
  bodyOnly("easypost", "x-hmac-signature", {
    packages: ["@easypost/api"],
    keys: () => ({ secret: text("sécret ﬁ ") }),
    sign: ({ body }, { secret }) => `hmac-sha256-hex=${hmac("sha256", secret.normalize("NFKD"), body, "hex")}`,
    verify: ({ bytes, headers }, { secret }) => void easypost.Utils.validateWebhook(bytes, headers, secret),
  }),
  bodyOnly("adyen-platform", "hmacsignature", {
    packages: ["@adyen/api-library"],
    keys: () => ({ secret: hex().toUpperCase() }),
    sign: ({ body }, { secret }) => adyenHmac.calculateHmac(body, secret),
    headers: () => ({ protocol: "HmacSHA256" }),
    verify: ({ body, headers }, { secret }) => adyenHmac.validateHMACSignature(secret, headers.hmacsignature, body),
  }),
  // https://docs.gitlab.com/user/project/integrations/webhooks/: the header is the secret, and nothing is signed.
  bodyOnly("gitlab", "x-gitlab-token", {
    packages: [],
    sign: (_, { secret }) => secret,
    headers: ({ id }) => ({ "x-gitlab-event": "Push Hook", "x-gitlab-event-uuid": id }),
    unsigned: ["body"],
  }),
];
