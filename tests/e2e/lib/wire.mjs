// HTTP/1.1 over a plain socket: sends exactly the bytes a test names and says exactly what came back and when.
import net from "node:net";

// One request on a connection of its own.
export async function request(door, message) {
  const connection = await connect(door);
  try {
    return await connection.exchange(message);
  } finally {
    connection.destroy();
  }
}

export async function connect(door) {
  const socket = net.connect({ host: door.host, port: door.port, noDelay: true });
  await new Promise((done, fail) => {
    socket.once("connect", done);
    socket.once("error", fail);
  });
  return new Connection(socket, door);
}

// The bytes of a request. Host and Content-Length are added unless the message brings its own (or null for none).
export function bytesOf(message, door) {
  const { method = "GET", target = "/", version = "1.1", body } = message;
  const headers = headerList(message.headers);
  const has = (name) => headers.some(([key]) => key.toLowerCase() === name);
  if (!has("host") && message.host !== null) headers.unshift(["Host", message.host ?? `localhost:${door.port}`]);
  const payload = body === undefined ? Buffer.alloc(0) : Buffer.from(body);
  if (body !== undefined && !has("content-length") && !has("transfer-encoding")) {
    headers.push(["Content-Length", String(payload.length)]);
  }
  const head = `${method} ${target} HTTP/${version}\r\n${headers.map(([key, value]) => `${key}: ${value}\r\n`).join("")}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), payload]);
}

export function chunked(pieces, trailers = {}) {
  const parts = pieces.map((piece) => Buffer.from(piece)).filter((piece) => piece.length > 0);
  const framed = parts.flatMap((piece) => [Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from("\r\n")]);
  const end = headerList(trailers).map(([key, value]) => `${key}: ${value}\r\n`).join("");
  return Buffer.concat([...framed, Buffer.from(`0\r\n${end}\r\n`, "latin1")]);
}

function headerList(headers = []) {
  return Array.isArray(headers) ? headers.map((pair) => [...pair]) : Object.entries(headers);
}

class Connection {
  #socket;
  #door;
  #buffer = Buffer.alloc(0);
  #ended = false;
  #error = null;
  #wake = () => {};

  constructor(socket, door) {
    this.#socket = socket;
    this.#door = door;
    socket.on("data", (bytes) => {
      this.#buffer = this.#buffer.length ? Buffer.concat([this.#buffer, bytes]) : bytes;
      this.#wake();
    });
    socket.on("end", () => this.#finish(null));
    socket.on("close", () => this.#finish(null));
    socket.on("error", (error) => this.#finish(error));
  }

  get closed() {
    return this.#ended;
  }

  async exchange(message) {
    const sending = this.send(message);
    const response = await this.response(message);
    await sending.catch(() => {}); // an early answer may close the sending side
    return response;
  }

  // Resolves when the system has taken the bytes; a reader that stands still holds it back.
  send(message) {
    return this.write(bytesOf(message, this.#door));
  }

  write(bytes) {
    return new Promise((done, fail) => this.#socket.write(bytes, (error) => (error ? fail(error) : done())));
  }

  halfClose() {
    this.#socket.end();
  }

  destroy() {
    this.#socket.destroy();
  }

  // Reads one response, the interim ones before it included; `pieces` holds the arrival times of its body.
  async response({ method = "GET", timeout = 30_000 } = {}) {
    const timer = setTimeout(() => this.#finish(new Error(`no complete response within ${timeout} ms`)), timeout);
    try {
      const informational = [];
      for (;;) {
        const head = await this.#head();
        if (head.status >= 100 && head.status < 200 && head.status !== 101) {
          informational.push(head);
          continue;
        }
        const pieces = [];
        const trailers = head.status === 101 ? {} : await this.#body(head, method, pieces);
        return { ...head, informational, trailers, pieces, body: Buffer.concat(pieces.map((piece) => piece.bytes)) };
      }
    } finally {
      clearTimeout(timer);
    }
  }

  // Whatever arrives until the other side closes, or `ms` have passed.
  async rest(ms) {
    const timer = setTimeout(() => this.#finish(null), ms);
    while (!this.#ended) await this.#more();
    clearTimeout(timer);
    return this.#buffer;
  }

  async some() {
    while (!this.#buffer.length) {
      if (this.#ended) throw this.#error ?? new Error("the connection was closed");
      await this.#more();
    }
    const bytes = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    return bytes;
  }

  // One interim response, such as 100 Continue.
  async interim() {
    return this.#head();
  }

  async #head() {
    const [, version, status, reason] = /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(await this.#line()) ?? fail("no status line");
    const { headers, rawHeaders } = await this.#fields();
    return { at: Date.now(), version, status: Number(status), reason, headers, rawHeaders };
  }

  async #fields() {
    const headers = {};
    const rawHeaders = [];
    for (;;) {
      const line = await this.#line();
      if (line === "") return { headers, rawHeaders };
      const colon = line.indexOf(":");
      const name = line.slice(0, colon).toLowerCase();
      const value = line.slice(colon + 1).trim();
      rawHeaders.push([line.slice(0, colon), value]);
      headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
    }
  }

  async #body({ status, headers }, method, pieces) {
    if (method === "HEAD" || status === 204 || status === 304) return {};
    const keep = (bytes) => pieces.push({ at: Date.now(), bytes });
    if (/chunked/i.test(headers["transfer-encoding"] ?? "")) {
      for (;;) {
        const size = Number.parseInt(await this.#line(), 16);
        if (size === 0) return (await this.#fields()).headers;
        await this.#take(size, keep);
        await this.#line();
      }
    }
    if ("content-length" in headers) await this.#take(Number(headers["content-length"]), keep);
    else {
      for (;;) {
        if (this.#buffer.length) keep(await this.some());
        else if (this.#ended) return {};
        else await this.#more();
      }
    }
    return {};
  }

  async #take(size, keep) {
    for (let left = size; left > 0; ) {
      const bytes = await this.some();
      this.#buffer = bytes.subarray(left);
      keep(bytes.subarray(0, left));
      left -= Math.min(left, bytes.length);
    }
  }

  async #line() {
    for (;;) {
      const end = this.#buffer.indexOf("\r\n");
      if (end >= 0) {
        const line = this.#buffer.toString("latin1", 0, end);
        this.#buffer = this.#buffer.subarray(end + 2);
        return line;
      }
      if (this.#ended) throw this.#error ?? new Error("the connection was closed before the response was complete");
      await this.#more();
    }
  }

  #more() {
    return new Promise((done) => (this.#wake = done));
  }

  #finish(error) {
    this.#error ??= error;
    this.#ended = true;
    this.#wake();
  }
}

function fail(why) {
  throw new Error(why);
}
