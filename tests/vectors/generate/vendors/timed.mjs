// A timestamp header beside the body, or the address in what is signed.
import { Signature as HubspotSignature } from "@hubspot/api-client";
import slackBolt from "@slack/bolt";
import BoxSdk from "box-node-sdk";
import { WebhooksHelper as Square } from "square";
import { WebflowClient } from "webflow-api";
import { hmac, text } from "../lib/keys.mjs";
import { python } from "../lib/python.mjs";

const webflow = new WebflowClient({ accessToken: "unused" });

const event = ({ id }) => `{"id":"${id}","type":"thing.created","data":{"note":"genuine"}}`;

function hubspot(version, header, tolerance) {
  const options = (url, body, secret, timestamp) => ({ clientSecret: secret, requestBody: body, url, timestamp });
  return {
    provider: `hubspot-${version}`,
    packages: ["@hubspot/api-client"],
    signature: header,
    signsUrl: version !== "v1",
    tolerance,
    keys: () => ({ secret: text("") }),
    event,
    sign({ method, url, body, now }, { secret }) {
      const headers = { [header]: HubspotSignature.getSignature(method, version, options(url, body, secret, now)) };
      return { headers: version === "v3" ? { ...headers, "x-hubspot-request-timestamp": String(now) } : { ...headers, "x-hubspot-signature-version": version } };
    },
    verify({ method, url, body, headers }, { secret }) {
      const timestamp = Number(headers["x-hubspot-request-timestamp"]);
      return HubspotSignature.isValid({ signatureVersion: version, method, signature: headers[header], ...options(url, body, secret, timestamp) });
    },
  };
}

export const vendors = [
  {
    provider: "slack",
    packages: ["pypi:slack_sdk", "@slack/bolt"],
    signature: "x-slack-signature",
    tolerance: 300,
    keys: () => ({ secret: text("") }),
    event: ({ id }) => `{"type":"event_callback","event_id":"Ev${id}","event":{"type":"app_mention","text":"genuine"}}`,
    async sign({ bytes, now }, { secret }) {
      const timestamp = String(Math.floor(now / 1000));
      const signature = await python("slack_sign", { secret, timestamp, body: bytes.toString("base64") });
      return { headers: { "x-slack-signature": signature, "x-slack-request-timestamp": timestamp } };
    },
    verify({ body, headers }, { secret }) {
      const timestamp = Number(headers["x-slack-request-timestamp"]);
      slackBolt.verifySlackRequest({
        signingSecret: secret,
        body,
        headers: { "x-slack-signature": headers["x-slack-signature"], "x-slack-request-timestamp": timestamp },
      });
    },
  },
  hubspot("v1", "x-hubspot-signature", null),
  hubspot("v2", "x-hubspot-signature", null),
  hubspot("v3", "x-hubspot-signature-v3", 300),
  {
    // https://developers.webflow.com/data/docs/working-with-webhooks#validating-request-signatures
    provider: "webflow",
    packages: ["webflow-api"],
    signature: "x-webflow-signature",
    tolerance: 300,
    blindTo: ["old"],
    keys: () => ({ secret: text("") }),
    event,
    sign: ({ body, now }, { secret }) => ({
      headers: { "x-webflow-timestamp": String(now), "x-webflow-signature": hmac("sha256", secret, `${now}:${body}`, "hex") },
    }),
    verify: ({ body, headers }, { secret }) => webflow.webhooks.verifySignature({ headers, body, secret }),
  },
  {
    // https://developer.box.com/guides/webhooks/v2/signatures-v2/: one signature for each of two keys.
    provider: "box",
    packages: ["box-node-sdk"],
    signature: ["box-signature-primary", "box-signature-secondary"],
    tolerance: 600,
    keys: () => ({ secret: text("primary"), options: { secondary_secret: text("secondary") } }),
    event,
    sign({ body, now, id }, { secret, options }) {
      const time = new Date(now).toISOString().replace(/\.\d+Z$/, "-00:00");
      return {
        headers: {
          "box-delivery-id": id,
          "box-delivery-timestamp": time,
          "box-signature-version": "1",
          "box-signature-algorithm": "HmacSHA256",
          "box-signature-primary": hmac("sha256", secret, body + time, "base64"),
          "box-signature-secondary": hmac("sha256", options.secondary_secret, body + time, "base64"),
        },
      };
    },
    verify: ({ body, headers }, { secret, options }, tolerance = 600) =>
      BoxSdk.validateWebhookMessage(body, headers, secret, options?.secondary_secret, tolerance),
  },
  {
    // https://developer.squareup.com/docs/webhooks/step3validate
    provider: "square",
    signsUrl: true,
    packages: ["square"],
    signature: "x-square-hmacsha256-signature",
    tolerance: null,
    keys: () => ({ secret: text("") }),
    event,
    sign: ({ body, url }, { secret }) => ({ headers: { "x-square-hmacsha256-signature": hmac("sha256", secret, url + body, "base64") } }),
    verify: ({ body, url, headers }, { secret }) =>
      Square.verifySignature({
        requestBody: body,
        signatureHeader: headers["x-square-hmacsha256-signature"],
        signatureKey: secret,
        notificationUrl: url,
      }),
  },
];
