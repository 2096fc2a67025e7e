import type { NextApiRequest, NextApiResponse } from "next";
import { parseDictionary } from "structured-headers";
import { Webhook } from "svix";

export const config = { api: { bodyParser: false } };

export default async function handler(request: NextApiRequest, response: NextApiResponse) {
  const value = request.headers["verified-event"];
  if (typeof value !== "string") return response.status(403).send("not verified");
  const type = parseDictionary(value).get("type");
  const isSigned = type?.[1].get("unsigned") !== true;

  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const secret = process.env.CLERK_WEBHOOK_SIGNING_SECRET!;
  const event = new Webhook(secret).verify(Buffer.concat(chunks), request.headers as Record<string, string>);
  console.log(type?.[0], isSigned, event);
  response.status(204).end();
}
