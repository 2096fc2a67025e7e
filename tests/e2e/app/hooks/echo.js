// Says back what arrived: the raw target, the headers as sent, the body by hash and the moments its pieces came.
import { createHash } from "node:crypto";

export async function echo(req, res) {
  const hash = createHash("sha256");
  const pieces = [];
  let length = 0;
  for await (const piece of req) {
    hash.update(piece);
    length += piece.length;
    pieces.push({ at: Date.now(), length: piece.length });
  }
  res.setHeader("content-type", "application/json");
  const seen = {
    method: req.method,
    url: req.url,
    headers: req.headers,
    rawHeaders: req.rawHeaders,
    trailers: req.trailers,
    sha256: hash.digest("hex"),
    length,
    first: pieces[0]?.at ?? null,
    last: pieces.at(-1)?.at ?? null,
  };
  res.end(JSON.stringify(seen));
}
