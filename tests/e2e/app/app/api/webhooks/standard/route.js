import { Webhook } from "standardwebhooks";
import { hook } from "../../../../hooks/app-route.js";

export const POST = hook("/api/webhooks/standard", async (request) => {
  const webhook = new Webhook(process.env.STANDARD_SECRET);
  return webhook.verify(await request.text(), Object.fromEntries(request.headers));
});
