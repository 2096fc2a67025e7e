// The edge runtime has a globalThis of its own, so this handler reports its run to the counting route instead.
export const runtime = "edge";

async function run(request) {
  await fetch(`${process.env.COUNT_URL}?hit=/api/webhooks/edge`, { method: "POST" });
  return Response.json({ handler: "/api/webhooks/edge", method: request.method });
}

export { run as GET, run as POST, run as PUT };
