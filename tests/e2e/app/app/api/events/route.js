// Server-sent events, 0.4 s apart: a proxy that buffers delivers them together.
export const dynamic = "force-dynamic";

export function GET() {
  const text = new TextEncoder();
  const events = new ReadableStream({
    async start(controller) {
      for (let number = 1; number <= 4; number += 1) {
        controller.enqueue(text.encode(`data: ${number}\n\n`));
        await new Promise((next) => setTimeout(next, 400));
      }
      controller.close();
    },
  });
  return new Response(events, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
}
