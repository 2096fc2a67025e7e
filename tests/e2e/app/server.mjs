// The custom server that many apps have: it parses the URL itself (so backslashes become slashes) and speaks WebSocket.
// What is under /raw/ never meets Next, which edits targets and headers before a handler sees them.
import { createServer } from "node:http";
import { fileURLToPath, parse } from "node:url";
import next from "next";
import { WebSocketServer } from "ws";
import { echo } from "./hooks/echo.js";

const port = Number(process.env.PORT);
const hostname = process.env.HOST ?? "localhost";
const app = next({ dev: false, dir: fileURLToPath(new URL(".", import.meta.url)), hostname, port });
await app.prepare();

const handle = app.getRequestHandler();
const server = createServer((req, res) => {
  if (req.url.startsWith("/raw/")) return echo(req, res);
  return handle(req, res, parse(req.url, true));
});
const sockets = new WebSocketServer({ noServer: true });
const upgrades = (globalThis.hookwardUpgrades = { websocket: 0, other: 0 });

sockets.on("connection", (socket) => socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary })));
server.on("upgrade", (req, socket, head) => {
  const kind = req.headers.upgrade?.toLowerCase() === "websocket" ? "websocket" : "other";
  upgrades[kind] += 1;
  if (kind !== "websocket" || !req.url.startsWith("/ws")) return socket.destroy();
  return sockets.handleUpgrade(req, socket, head, (ws) => sockets.emit("connection", ws, req));
});
server.listen(port, hostname, () => console.log("ready"));
