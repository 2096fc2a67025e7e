import { Webhook } from "svix";
import { hook } from "../../hooks/pages-route.js";

export const config = { api: { bodyParser: false } };

export default hook("/api/clerk-webhook", (body, headers) =>
  new Webhook(process.env.CLERK_WEBHOOK_SIGNING_SECRET).verify(body, headers),
);
