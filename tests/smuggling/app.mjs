// The app as Node serves it: writes down every request that its parser saw, and what it could not read as one.
//
// One JSON line for a head, one for the end of its body. Must never judge a request: that is the oracle's part.
import { writeSync } from "node:fs";
import { createServer } from "node:http";

const say = (line) => writeSync(1, `${JSON.stringify(line)}\n`);
let count = 0;

const take = (request, response) => {
  const number = ++count;
  say({ event: "head", number, method: request.method, target: request.url, headers: request.rawHeaders });
  const pieces = [];
  const end = (complete) => say({ event: "body", number, complete, body: Buffer.concat(pieces).toString("base64") });
  const answer = () => {
    response.setHeader("x-seen", request.url);
    response.end(request.method === "HEAD" ? undefined : "seen");
  };
  request.on("data", (piece) => pieces.push(piece));
  // With this query it answers before the body is there, as handlers do that need none.
  const early = request.url.includes("&early");
  if (early) answer();
  let ended = false;
  request.on("end", () => {
    ended = true;
    end(request.complete);
    if (!early) answer();
  });
  request.on("close", () => ended || end(false));
  request.on("error", () => {});
};

const server = createServer({ keepAliveTimeout: 120_000, requestTimeout: 0 }, take);
server.on("checkExpectation", take);
server.on("checkContinue", (request, response) => {
  // An early answer leaves the sender without its 100.
  if (!request.url.includes("&early")) response.writeContinue();
  take(request, response);
});
server.on("clientError", (error, socket) => {
  // The end of a connection inside of a body is no bytes that were misread.
  const cut = ["ECONNRESET", "EPIPE", "HPE_INVALID_EOF_STATE"].includes(error.code);
  if (!cut) say({ event: "garbage", code: error.code, bytes: error.rawPacket?.toString("base64") });
  socket.destroy();
});
server.on("connect", (request, socket) => {
  say({ event: "garbage", code: "CONNECT", bytes: Buffer.from(request.url).toString("base64") });
  socket.destroy();
});
server.listen(0, "127.0.0.1", () => say({ event: "ready", port: server.address().port }));
