// Everything that is no webhook: the app behaves the same straight and through hookward. Each check runs at both doors.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { constants, gunzipSync, gzipSync } from "node:zlib";
import WebSocket from "ws";
import { sha256, svixHeaders, userCreated } from "./lib/deliveries.mjs";
import { here, noHookward, startApp, startHookward } from "./lib/processes.mjs";
import { configFor } from "./lib/setup.mjs";
import { chunked, connect, request } from "./lib/wire.mjs";

const places = { start: {}, custom: {}, dev: {} };

before(async () => {
  places.start.app = await startApp("base");
  places.custom.app = await startApp("base", "custom");
  places.dev.app = await startApp("base", "dev");
  for (const place of Object.values(places)) place.door = noHookward ? null : await startHookward(configFor(place.app));
});
after(async () => {
  for (const { door, app } of Object.values(places)) {
    await door?.stop();
    await app?.stop();
  }
});

describe("bodies", () => {
  const random = randomBytes(300_000);
  const bodies = { empty: Buffer.alloc(0), "one byte": Buffer.from([0]), text: Buffer.from("é\r\n\0"), random, gzip: gzipSync(random) };

  for (const [name, body] of Object.entries(bodies)) {
    atBothDoors(`a body (${name}) arrives as it was sent, by length and in chunks`, async (door) => {
      const headers = name === "gzip" ? { "content-encoding": "gzip" } : {};
      const plain = await echo(door, { method: "POST", headers, body });
      const pieces = [body.subarray(0, 7), body.subarray(7)];
      const inChunks = await echo(door, { method: "POST", headers: { ...headers, "transfer-encoding": "chunked" }, body: chunked(pieces) });
      for (const seen of [plain, inChunks]) {
        assert.equal(seen.sha256, sha256(body));
        assert.equal(seen.headers["content-encoding"], headers["content-encoding"]);
      }
      assert.equal(plain.headers["content-length"], String(body.length));
    });
  }

  atBothDoors("an upload of 24 MiB arrives whole", async (door) => {
    const body = randomBytes(24 * 1024 * 1024);
    assert.equal((await echo(door, { method: "POST", body })).sha256, sha256(body));
  });

  atBothDoors("an upload in chunks is passed on while it is still being sent", async (door) => {
    const connection = await connect(door);
    const slow = Buffer.from("0123456789");
    await connection.send({ method: "POST", target: "/api/echo/slow", headers: { "transfer-encoding": "chunked" } });
    await connection.write(chunked([slow]).subarray(0, -5));
    await pause(600);
    await connection.write(chunked([slow]));
    const seen = JSON.parse((await connection.response()).body);
    connection.destroy();
    assert.equal(seen.length, 20);
    assert.ok(seen.last - seen.first > 400, `the pieces came ${seen.last - seen.first} ms apart`);
  });

  atBothDoors("a large answer arrives whole", async (door) => {
    const { body } = await request(door, { target: "/api/wire?answer=large" });
    assert.equal(sha256(body), sha256(Buffer.from("0123456789abcdef".repeat(65536 * 2))));
  });
});

describe("the request as the app sees it", () => {
  const targets = ["a%2Fb", "a%2fb?x=%2F", "a|b", "a[b]", "?x=a|b[c]", "%e9", "?x=%e9", "?", "?a=1&&b=&c", "a%20b+c", "~u/@v/a:b;c=d", "a//b", "%7Euser", "?u=https://e.example/a//b", "?path=../../x", "!$&'()*,=", "?q=^`{}~"];
  for (const target of targets.map((each) => (each.startsWith("?") ? `/api/echo${each}` : `/api/echo/${each}`))) {
    sameAtBothDoors(`the target ${target}`, async (door) => {
      const { status, body, headers } = await request(door, { target });
      return { status, location: headers.location, url: status === 200 ? JSON.parse(body).url : null };
    });
  }

  atBothDoors("no target is rewritten on its way", async (door) => {
    for (const target of targets) assert.equal((await echo(door, { target: `/raw/${target}` })).url, `/raw/${target}`);
  }, "custom");

  test("every printable byte passes in a target, save those that no browser sends unencoded", { skip: noHookward }, async () => {
    const refused = { path: "", query: "" };
    for (let byte = 0x21; byte <= 0x7e; byte += 1) {
      const char = String.fromCharCode(byte);
      for (const [part, target] of [["path", `/raw/a${char}b`], ["query", `/raw/?a${char}b`]]) {
        const answer = await request(places.custom.door, { target });
        if (answer.status === 400) refused[part] += char;
        else assert.equal(JSON.parse(answer.body).url, target);
      }
    }
    // `#` and `\\` are refused on purpose; the others are not in the grammar of a URI (RFC 3986, appendix A).
    assert.deepEqual(refused, { path: "#<>\\`", query: '"#<>' });
  });

  atBothDoors("the Host stays", async (door) => {
    assert.equal((await echo(door, { host: "shop.example:8443" })).headers.host, "shop.example:8443");
  });

  atBothDoors("headers keep their values and their repetitions", async (door) => {
    const sent = [["X-One", "a, b"], ["x-two", "1"], ["x-two", "2"], ["cookie", "a=1; b=2"], ["accept", "*/*"], ["x-utf8", "caf\xc3\xa9"], ["x-empty", ""]];
    const { rawHeaders } = await echo(door, { headers: sent });
    const seen = [];
    for (let at = 0; at < rawHeaders.length; at += 2) seen.push([rawHeaders[at].toLowerCase(), rawHeaders[at + 1]]);
    for (const [name, value] of sent) {
      const count = sent.filter((each) => each[0].toLowerCase() === name.toLowerCase() && each[1] === value).length;
      assert.equal(seen.filter((each) => each[0] === name.toLowerCase() && each[1] === value).length, count, name);
    }
  });

  atBothDoors("a header of 15 KB passes", async (door) => {
    const large = "x".repeat(15 * 1024);
    assert.equal((await echo(door, { headers: { "x-large": large } })).headers["x-large"], large);
  });

  atBothDoors("the methods of a web app pass", async (door) => {
    for (const method of ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) assert.equal((await echo(door, { method })).method, method);
  });

  atBothDoors("Next's own request headers pass", async (door) => {
    const kept = { rsc: "1", "next-router-prefetch": "1", "next-url": "/x", "x-nextjs-data": "1", "if-none-match": '"x"', range: "bytes=0-1", origin: "http://o.example" };
    const { headers } = await echo(door, { target: "/raw/kept?_rsc=1", headers: kept });
    for (const [name, value] of Object.entries(kept)) assert.equal(headers[name], value, name);
  }, "custom");

  atBothDoors("100-continue is answered before the body is sent", async (door) => {
    const connection = await connect(door);
    await connection.send({ method: "POST", target: "/api/echo/continue", headers: { expect: "100-continue", "content-length": "5" } });
    assert.equal((await connection.interim()).status, 100);
    await connection.write("hello");
    assert.equal(JSON.parse((await connection.response()).body).sha256, sha256("hello"));
    connection.destroy();
  });

  atBothDoors("request trailers arrive", async (door) => {
    const body = chunked(["body"], { "x-sum": "42" });
    const seen = await echo(door, { method: "POST", headers: { "transfer-encoding": "chunked", trailer: "x-sum" }, body });
    assert.deepEqual(seen.trailers, { "x-sum": "42" });
  });
});

describe("answers", () => {
  const file = "/range.txt";

  atBothDoors("HEAD has the head of GET and no body, and the connection goes on", async (door) => {
    await onOneConnection(door, async (exchange) => {
      for (const target of [file, "/", "/api/echo/x"]) {
        const head = await exchange({ method: "HEAD", target });
        const get = await exchange({ target });
        assert.equal(head.status, get.status);
        assert.equal(head.headers["content-type"], get.headers["content-type"]);
        if (target === file) assert.equal(head.headers["content-length"], "10000");
      }
    });
  });

  atBothDoors("304 for a known etag, 206 for a range, and the connection goes on", async (door) => {
    await onOneConnection(door, async (exchange) => {
      const whole = await exchange({ target: file });
      assert.equal(whole.body.length, 10_000);
      assert.equal((await exchange({ target: file, headers: { "if-none-match": whole.headers.etag } })).status, 304);
      const part = await exchange({ target: file, headers: { range: "bytes=5-9" } });
      assert.deepEqual([part.status, part.body.toString(), part.headers["content-range"]], [206, "56789", "bytes 5-9/10000"]);
      assert.equal((await exchange({ target: file, headers: { range: "bytes=99999-" } })).status, 416);
      assert.equal((await exchange({ target: file })).status, 200);
    });
  });

  sameAtBothDoors("gzip and Vary", async (door) => {
    const { headers, body } = await request(door, { target: "/", headers: { "accept-encoding": "gzip" } });
    assert.equal(headers["content-encoding"], "gzip");
    assert.match(gunzipSync(body).toString(), /<h1>home<\/h1>/);
    return { vary: headers.vary, type: headers["content-type"], cache: headers["cache-control"] };
  });

  sameAtBothDoors("the header names of a page", async (door) => {
    const { rawHeaders } = await request(door, { target: "/about" });
    return rawHeaders.map(([name]) => name.toLowerCase()).filter((name) => !["connection", "keep-alive", "date"].includes(name)).sort();
  });

  atBothDoors("each Set-Cookie stays a line of its own", async (door) => {
    const { rawHeaders } = await request(door, { target: "/api/wire?answer=cookies" });
    assert.deepEqual(rawHeaders.filter(([name]) => /^set-cookie$/i.test(name)).map(([, value]) => value), ["a=1; Path=/", "b=2; Path=/"]);
  });

  atBothDoors("103 Early Hints come before the answer", async (door) => {
    const answer = await request(door, { target: "/api/wire?answer=early-hints" });
    assert.deepEqual(answer.informational.map(({ status, headers }) => [status, headers.link]), [[103, "</style.css>; rel=preload; as=style"]]);
    assert.equal(answer.body.toString(), "after the hint");
  });

  atBothDoors("response trailers arrive", async (door) => {
    const answer = await request(door, { target: "/api/wire?answer=trailers", headers: { te: "trailers" } });
    assert.deepEqual([answer.body.toString(), answer.trailers], ["body", { "x-sum": "42" }]);
  });

  sameAtBothDoors("the image optimizer", async (door) => {
    const answer = await request(door, { target: "/_next/image?url=%2Flogo.png&w=64&q=75", headers: { accept: "image/webp,*/*" } });
    assert.deepEqual([answer.status, answer.headers["content-type"]], [200, "image/webp"]);
    return sha256(answer.body);
  });

  atBothDoors("events 0.4 s apart arrive apart", async (door) => {
    const { pieces, body } = await request(door, { target: "/api/events" });
    assert.equal(body.toString(), "data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n");
    const times = pieces.filter(({ bytes }) => bytes.includes("data:")).map(({ at }) => at);
    assert.equal(times.length, 4);
    for (let index = 1; index < 4; index += 1) assert.ok(times[index] - times[index - 1] > 250, `${times[index] - times[index - 1]} ms`);
  });

  for (const encoding of ["identity", "gzip"]) {
    atBothDoors(`the shell of a streamed page (${encoding}) arrives long before its end`, async (door) => {
      const began = Date.now();
      const { pieces, headers } = await request(door, { target: "/stream", headers: { "accept-encoding": encoding } });
      const early = Buffer.concat(pieces.filter(({ at }) => at - began < 1000).map(({ bytes }) => bytes));
      const text = headers["content-encoding"] === "gzip" ? gunzipSync(early, { finishFlush: constants.Z_SYNC_FLUSH }) : early;
      assert.equal(headers["content-encoding"] ?? "identity", encoding);
      assert.match(text.toString(), /<h1>shell<\/h1>/);
      assert.doesNotMatch(text.toString(), /late part/);
      assert.ok(pieces.at(-1).at - began > 1400);
    });
  }

  atBothDoors("the app notices that a client left", async (door) => {
    const aborted = async () => JSON.parse((await request(door, { target: "/api/aborts" })).body).aborted;
    const before = await aborted();
    const connection = await connect(door);
    await connection.send({ target: "/api/wire?answer=hang" });
    assert.match((await connection.some()).toString(), /^HTTP\/1\.1 200/);
    connection.destroy();
    for (let tries = 0; tries < 40 && (await aborted()) === before; tries += 1) await pause(50);
    assert.equal(await aborted(), before + 1);
  });
});

describe("Next's own protocols", () => {
  atBothDoors("navigation by React Server Components: 307 to the hashed address, then 200", async (door) => {
    const first = await request(door, { target: "/event", headers: { rsc: "1" } });
    assert.equal(first.status, 307);
    assert.match(first.headers.location, /^\/event\?_rsc/);
    const second = await request(door, { target: first.headers.location, headers: { rsc: "1" } });
    assert.equal(second.status, 200);
    assert.match(second.headers["content-type"], /^text\/x-component/);
  });

  sameAtBothDoors("page data", async (door) => {
    const { status, body } = await request(door, { target: "/_next/data/BUILDID/about.json", headers: { "x-nextjs-data": "1" } });
    assert.equal(status, 200);
    return body.toString();
  });

  atBothDoors("a Server Action runs for its own origin", async (door) => {
    const answer = await serverAction(door, { origin: "http://shop.example", host: "shop.example" });
    assert.ok(answer.status < 400, String(answer.status));
    assert.match(answer.headers["set-cookie"] ?? "", /saved=word/);
  });

  atBothDoors("a Server Action is refused for another origin", async (door) => {
    const answer = await serverAction(door, { origin: "http://evil.example", host: "shop.example" });
    assert.equal(answer.status, 500);
    assert.equal(answer.headers["set-cookie"], undefined);
  });

  test("directly, a forged X-Forwarded-Host makes another origin's Server Action run", async () => {
    const answer = await serverAction(places.start.app, { origin: "http://evil.example", host: "shop.example", forwarded: "evil.example" });
    assert.match(answer.headers["set-cookie"] ?? "", /saved=word/);
  });

  test("through hookward, a forged X-Forwarded-Host does not", { skip: noHookward }, async () => {
    const answer = await serverAction(places.start.door, { origin: "http://evil.example", host: "shop.example", forwarded: "evil.example" });
    assert.equal(answer.status, 500);
    assert.equal(answer.headers["set-cookie"], undefined);
  });
});

describe("connections", () => {
  atBothDoors("requests sent in one go are answered in order", async (door) => {
    const connection = await connect(door);
    const head = (name) => `GET /api/echo/${name} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    await connection.write(head("one") + head("two") + head("three"));
    for (const name of ["one", "two", "three"]) assert.equal(JSON.parse((await connection.response()).body).url, `/api/echo/${name}`);
    connection.destroy();
  });

  atBothDoors("an HTTP/1.0 client gets its answer and then the end", async (door) => {
    const connection = await connect(door);
    await connection.send({ target: "/range.txt", version: "1.0" });
    const answer = await connection.response();
    assert.deepEqual([answer.status, answer.body.length], [200, 10_000]);
    await connection.rest(2000);
    assert.ok(connection.closed);
    connection.destroy();
  });

  // Next closes an idle connection after 5 s and some: a proxy that picks it up right then answers 502.
  for (const seconds of [4.5, 5.5, 7]) {
    test(`after ${seconds} s without traffic the next request is answered`, { skip: noHookward }, async () => {
      const connections = await Promise.all(Array.from({ length: 12 }, () => connect(places.start.door)));
      const ask = (connection, number) => connection.exchange({ method: number % 2 ? "POST" : "GET", target: "/api/echo/idle", body: number % 2 ? "x" : undefined });
      const statuses = async () => (await Promise.all(connections.map(ask))).map(({ status }) => status);
      const all = connections.map(() => 200);
      assert.deepEqual(await statuses(), all);
      await pause(seconds * 1000);
      assert.deepEqual(await statuses(), all);
      connections.forEach((connection) => connection.destroy());
    });
  }

  test("HTTP/2 without TLS is understood, for pages and for deliveries", { skip: noHookward }, async () => {
    const session = http2.connect(`http://127.0.0.1:${places.start.door.port}`);
    const ask = (headers, body) =>
      new Promise((done, fail) => {
        const stream = session.request(headers);
        let status;
        const pieces = [];
        stream.on("response", (fields) => (status = fields[":status"]));
        stream.on("data", (bytes) => pieces.push(bytes));
        stream.on("end", () => done({ status, body: Buffer.concat(pieces) }));
        stream.on("error", fail);
        stream.end(body);
      });
    try {
      const page = await ask({ ":path": "/range.txt" });
      assert.deepEqual([page.status, page.body.length], [200, 10_000]);
      const post = { ":method": "POST", ":path": "/api/webhooks/clerk", "content-type": "application/json" };
      assert.equal((await ask({ ...post, ...svixHeaders(userCreated) }, userCreated)).status, 200);
      assert.equal((await ask(post, userCreated)).status, 400);
    } finally {
      session.close();
    }
  });
});

describe("every legitimate target", () => {
  const targets = readFileSync(join(here, "data/legitimate-targets.txt"), "utf8").split("\n").filter(Boolean);
  for (const target of targets) {
    // The development server's own addresses answer upgrades only; the WebSocket test below covers them.
    if (target.includes("hmr")) continue;
    sameAtBothDoors(target, async (door) => {
      const { status, headers } = await request(door, { target });
      return { status, type: headers["content-type"], location: headers.location };
    });
  }
});

describe("WebSocket", () => {
  atBothDoors("messages go both ways through the app's own server, and the closing code arrives", async (door) => {
    const socket = new WebSocket(`ws://${door.host.includes(":") ? `[${door.host}]` : door.host}:${door.port}/ws`);
    const next = (event) => new Promise((done, fail) => socket.once(event, (...values) => done(values)).once("error", fail));
    await next("open");
    for (const message of [Buffer.from("text"), randomBytes(200_000)]) {
      const answer = next("message");
      socket.send(message);
      assert.equal(sha256((await answer)[0]), sha256(message));
    }
    const closed = next("close");
    socket.close(4001, "done");
    assert.equal((await closed)[0], 4001);
  }, "custom");

  atBothDoors("the development server's own socket opens", async (door) => {
    const answer = await upgrade(door, "/_next/hmr?id=abc", "websocket");
    assert.equal(answer.status, 101);
    assert.equal(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  }, "dev");

  for (const kind of ["h2c", "tcp", "websocket, h2c"]) {
    test(`an upgrade to "${kind}" is not passed on`, { skip: noHookward }, async () => {
      const { app, door } = places.custom;
      const before = (await app.runs()).upgrades;
      const answer = await upgrade(door, "/api/echo/upgrade", kind);
      assert.notEqual(answer.status, 101);
      assert.deepEqual((await app.runs()).upgrades, before);
    });
  }

  test("directly, the app's server is asked to upgrade to anything", async () => {
    const { app } = places.custom;
    const before = (await app.runs()).upgrades.other;
    await upgrade(app, "/api/echo/upgrade", "h2c").catch(() => null);
    assert.equal((await app.runs()).upgrades.other, before + 1);
  });
});

describe("what hookward does to a request that is no webhook", { skip: noHookward }, () => {
  const seenThrough = (headers) => echo(places.start.door, { headers });

  test("the client's address and protocol are its own findings", async () => {
    const spoofed = { "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https", "x-forwarded-host": "evil.example", "x-forwarded-port": "1", forwarded: "for=192.0.2.1", "x-real-ip": "192.0.2.1" };
    const { headers } = await echo(places.start.door, { host: "shop.example:8443", headers: spoofed });
    assert.deepEqual(
      ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded", "x-real-ip"].map((name) => headers[name]),
      ["127.0.0.1", "http", "shop.example:8443", undefined, undefined],
    );
    assert.notEqual(headers["x-forwarded-port"], "1");
  });

  test("headers that only Next may set are gone, however they are spelled", async () => {
    const names = ["x-middleware-subrequest", "x-middleware-subrequest-id", "x-middleware-rewrite", "x-middleware-next", "x-middleware-skip", "x-middleware-override-headers", "x-middleware-set-cookie", "x-middleware-invoke", "x-middleware-request-x", "x-matched-path", "x-now-route-matches", "x-invoke-path", "x-nextjs-rewritten-path", "x-action-forwarded", "next-resume", "x-next-resume-state-length", "x-prerender-revalidate", "x-prerender-revalidate-if-generated", "x-original-url", "x-rewrite-url", "x-http-method-override", "location"];
    const spoofed = names.flatMap((name) => [[name, "spoofed"], [name.replaceAll("-", "_"), "spoofed"]]);
    const { rawHeaders } = await seenThrough(spoofed);
    assert.deepEqual(rawHeaders.filter((text, at) => rawHeaders[at + 1] === "spoofed"), []);
  });

  test("what belongs to the connection ends here", async () => {
    const { headers } = await seenThrough([["connection", "x-private"], ["x-private", "1"], ["keep-alive", "timeout=9"], ["proxy-connection", "close"], ["te", "trailers, deflate"]]);
    assert.deepEqual(["x-private", "keep-alive", "proxy-connection"].filter((name) => name in headers), []);
    assert.ok([undefined, "trailers"].includes(headers.te));
  });
});

// A check that has to hold straight and through hookward.
function atBothDoors(name, check, place = "start") {
  test(`straight: ${name}`, () => check(places[place].app));
  test(`through hookward: ${name}`, { skip: noHookward }, () => check(places[place].door));
}

// A check whose result need not be known, as long as it is the same.
function sameAtBothDoors(name, look) {
  test(name, async () => {
    const straight = await look(places.start.app);
    if (!noHookward) assert.deepEqual(await look(places.start.door), straight);
  });
}

async function echo(door, message) {
  const answer = await request(door, { target: "/api/echo/x", ...message });
  assert.equal(answer.status, 200, answer.body.toString());
  return JSON.parse(answer.body);
}

async function onOneConnection(door, work) {
  const connection = await connect(door);
  try {
    await work((message) => connection.exchange(message));
  } finally {
    connection.destroy();
  }
}

// The form of /action as a browser without scripts posts it.
async function serverAction(door, { origin, host, forwarded }) {
  const page = await request(door, { target: "/action", host });
  const [, id] = /name="(\$ACTION_ID_[0-9a-f]+)"/.exec(page.body.toString()) ?? assert.fail("the page has no action");
  const part = (name, value) => `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
  const headers = { "content-type": "multipart/form-data; boundary=b", origin, ...(forwarded && { "x-forwarded-host": forwarded }) };
  return request(door, { method: "POST", target: "/action", host, headers, body: `${part(id, "")}${part("word", "word")}--b--\r\n` });
}

function upgrade(door, target, kind) {
  const headers = { connection: "Upgrade", upgrade: kind, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version": "13" };
  return request(door, { target, headers, timeout: 8000 });
}
