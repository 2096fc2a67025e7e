// Answers that only a careful proxy carries over: 103, trailers, a cookie list, a large body, a request that hangs.
import { clientLeft } from "../../hooks/runs.js";

export const config = { api: { bodyParser: false, responseLimit: false } };

const answers = {
  "early-hints"(req, res) {
    res.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
    setTimeout(() => res.status(200).send("after the hint"), 100);
  },
  trailers(req, res) {
    res.writeHead(200, { trailer: "x-sum", "content-type": "text/plain" });
    res.write("body");
    res.addTrailers({ "x-sum": "42" });
    res.end();
  },
  cookies(req, res) {
    res.setHeader("set-cookie", ["a=1; Path=/", "b=2; Path=/"]);
    res.status(200).send("two cookies");
  },
  large(req, res) {
    res.status(200).send("0123456789abcdef".repeat(65536 * 2));
  },
  hang(req, res) {
    res.on("close", () => res.writableFinished || clientLeft());
    res.writeHead(200, { "content-type": "text/plain" });
    res.write("first");
    setTimeout(() => res.end(), 20000).unref();
  },
};

export default function wire(req, res) {
  const answer = answers[req.query.answer];
  return answer ? answer(req, res) : res.status(404).end();
}
