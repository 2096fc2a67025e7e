// Asks sign.py, which holds the SDKs that exist in Python only. It is started once, when it is first needed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const interpreter = fileURLToPath(new URL("../.venv/bin/python", import.meta.url));
const script = fileURLToPath(new URL("../sign.py", import.meta.url));

export const noPython = existsSync(interpreter) ? false : "no .venv with the Python SDKs (./install makes it)";

let child;
const waiting = [];

// `call` is a function's name in sign.py, `args` its arguments; throws what it raised.
export async function python(call, args) {
  if (noPython) throw new Error(noPython);
  child ??= start();
  child.stdout.ref();
  const answer = new Promise((done, fail) => waiting.push({ done, fail }));
  child.stdin.write(`${JSON.stringify({ call, args })}\n`);
  const { result, error } = await answer.finally(() => waiting.length || child.stdout.unref());
  if (error !== undefined) throw new Error(error);
  return result;
}

function start() {
  const started = spawn(interpreter, [script], { stdio: ["pipe", "pipe", "inherit"] });
  // An idle process must not keep the tests from ending; it ends itself when its input does.
  for (const handle of [started, started.stdin, started.stdout]) handle.unref();
  createInterface({ input: started.stdout }).on("line", (line) => waiting.shift().done(JSON.parse(line)));
  started.once("close", (code) => waiting.splice(0).forEach(({ fail }) => fail(new Error(`sign.py ended with ${code}`))));
  return started;
}
