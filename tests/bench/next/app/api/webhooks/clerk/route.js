// The handler as the vendor's guide writes it: the raw body, then svix.
import { Webhook } from "svix";

const webhook = new Webhook(process.env.CLERK_WEBHOOK_SIGNING_SECRET ?? "whsec_");

export async function POST(request) {
  const body = await request.text();
  try {
    webhook.verify(body, Object.fromEntries(request.headers));
  } catch {
    return new Response("refused\n", { status: 401 });
  }
  return new Response("ok\n");
}
