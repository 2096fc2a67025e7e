import type { NextApiRequest, NextApiResponse } from "next";
import { Webhook } from "svix";
import { readVerifiedEvent } from "../../../verified-event";

export const config = { api: { bodyParser: false } };

export default async function handler(request: NextApiRequest, response: NextApiResponse) {
  const proven = await readVerifiedEvent(request, {
    token: { algorithm: "HS256", key: process.env.VERIFIED_EVENT_KEY },
    onRefused: (reason) => console.warn(`webhook refused: ${reason}`),
  });
  if (!proven) return response.status(403).send("not verified");

  const secret = process.env.CLERK_WEBHOOK_SIGNING_SECRET!;
  const event = new Webhook(secret).verify(Buffer.from(proven.body), request.headers as Record<string, string>);
  console.log(proven.id, event);
  response.status(200).json({ id: proven.id, type: proven.type });
}
