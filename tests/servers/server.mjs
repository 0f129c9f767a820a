// A real Better Auth server for the tests:
// node server.mjs <v16|v17> [options as JSON] [port] [file with the tables to start with].
// Prints {"port":N} when it listens. Ends when stdin closes, so that a killed test run leaves
// no server behind. Everything under /__test/ is the tests' control surface; see npm.py.
import { readFileSync, writeFileSync } from "node:fs";
import http from "node:http";
import v8 from "node:v8";

const [version, optionsJson = "{}", port = "0", tablesFile] = process.argv.slice(2);
const test = JSON.parse(optionsJson);
const BASE = "/api/auth";

// stdout carries the ready line and nothing else.
console.log = console.info = console.debug = console.warn = console.error;
// Better Auth skips the Origin check where these say that a test runs.
delete process.env.TEST;
delete process.env.VITEST;
process.env.NODE_ENV = "production";

process.stdin.on("end", () => process.exit(0));
process.stdin.on("close", () => process.exit(0));
process.stdin.on("error", () => process.exit(0));
process.stdin.resume();
process.on("SIGTERM", () => process.exit(0));
process.on("SIGINT", () => process.exit(0));

// The server's clock can be moved, so that sessions and tokens age without waiting.
let clockOffsetMs = 0;
const RealDate = Date;
globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length ? args : [target.now() + clockOffsetMs], newTarget),
  apply: (target) => new target(target.now() + clockOffsetMs).toString(),
  get: (target, key) =>
    key === "now" ? () => target.now() + clockOffsetMs : Reflect.get(target, key),
});

let requests = []; // every request that is not under /__test/, in order of arrival
let scripts = [];
let waiters = [];
let nextId = 1;
const sockets = new Set(); // those on which anything but a control request came

const pathOf = (path) => (path === "*" || path.startsWith(BASE) ? path : BASE + path);

function changed() {
  waiters = waiters.filter((waiter) => !waiter());
}

/** The script for this request, if one has a use left. */
function takeScript(method, path) {
  for (const script of scripts) {
    const fits = script.path === "*" || script.path === path;
    if (!fits || (script.method && script.method !== method) || script.times === 0) continue;
    if (script.skip > 0) {
      script.skip -= 1;
      return undefined; // scripts for one path apply one after the other
    }
    if (script.times > 0) script.times -= 1;
    return script;
  }
  return undefined;
}

/** Resolves true when the request may go on, false when the client has gone away. */
function hold(script, entry, res) {
  if (!script.hang && !script.delay_ms) return Promise.resolve(!res.destroyed);
  return new Promise((resolve) => {
    let timer;
    const go = (alive) => {
      clearTimeout(timer);
      res.off("close", gone);
      entry.held = false;
      entry.release = undefined;
      changed();
      resolve(alive);
    };
    const gone = () => go(false);
    if (res.destroyed) return resolve(false);
    res.on("close", gone);
    if (!script.hang) timer = setTimeout(() => go(true), script.delay_ms);
    entry.held = true;
    entry.release = () => go(true);
    changed();
  });
}

function setHeaders(target, headers) {
  for (const [name, value] of Object.entries(headers ?? {})) {
    for (const one of [value].flat()) target(name, String(one));
  }
}

function answerScripted(script, res) {
  res.statusCode = script.status ?? 200;
  const isText = "raw" in script;
  const hasBody = isText || "body" in script;
  if (hasBody && !isText) res.setHeader("content-type", "application/json");
  setHeaders((name, value) => res.appendHeader(name, value), script.headers);
  res.end(hasBody ? (isText ? script.raw : JSON.stringify(script.body)) : undefined);
}

async function serve(req, res, url, app) {
  const { auth, toNodeHandler } = app;
  const entry = {
    id: nextId++,
    method: req.method,
    path: url.pathname,
    query: url.search.slice(1),
    headers: { ...req.headers },
    status: null,
    scripted: false,
    held: false,
    done: false,
    aborted: false,
  };
  requests.push(entry);
  if (!sockets.has(req.socket)) {
    sockets.add(req.socket);
    req.socket.once("close", () => {
      sockets.delete(req.socket);
      changed();
    });
  }
  res.on("close", () => {
    entry.held = false;
    entry.done = res.writableFinished;
    entry.aborted = !res.writableFinished && !entry.dropped;
    entry.status = res.writableFinished ? res.statusCode : null;
    changed();
  });
  res.setHeader("date", new Date().toUTCString());
  const script = takeScript(req.method, url.pathname);
  entry.scripted = script !== undefined;
  changed();

  const drop = () => {
    entry.dropped = true;
    req.socket.destroy();
  };
  const after = script?.when === "after";
  if (script && !after) {
    if (!(await hold(script, entry, res))) return;
    if (script.drop) return drop();
    if ("status" in script || "body" in script || "raw" in script) {
      return answerScripted(script, res);
    }
  }
  let lost = false; // the work was done, but its answer is not to be sent
  const handler = toNodeHandler(async (request) => {
    const response = await auth.handler(request);
    if (!script) return response;
    if (after) {
      const alive = await hold(script, entry, res);
      if (script.drop && alive) drop();
      lost = !alive || Boolean(script.drop);
      if (lost) return new Response(null);
      if ("status" in script || "body" in script || "raw" in script) {
        answerScripted(script, res);
        lost = true;
        return new Response(null);
      }
    }
    setHeaders((name, value) => response.headers.append(name, value), script.headers);
    return response;
  });
  // Where the answer is lost or already sent, better-call must not write to it again.
  const guarded = new Proxy(res, {
    get: (target, key) => {
      if (lost && ["write", "end", "writeHead", "setHeader"].includes(key)) return () => guarded;
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: (target, key, value) => lost || Reflect.set(target, key, value),
  });
  await handler(req, guarded);
}

const publicEntry = ({ release: _release, dropped: _dropped, ...entry }) => entry;

const STATES = {
  arrived: () => true,
  held: (entry) => entry.held,
  done: (entry) => entry.done,
  aborted: (entry) => entry.aborted,
};

const CONTROL = {
  "GET requests": () => requests.map(publicEntry),

  "POST script": (body) => {
    const { path, times = 1, skip = 0, ...rest } = body;
    if (typeof path !== "string") throw new Error("script needs a path");
    scripts.push({ ...rest, path: pathOf(path), times: times ?? -1, skip });
    return { ok: true };
  },

  "POST release": (body) => {
    const held = requests.filter((e) => e.held && (!body.path || e.path === pathOf(body.path)));
    for (const entry of held) entry.release();
    return { released: held.length };
  },

  "POST unscript": () => {
    scripts = [];
    for (const entry of requests) entry.release?.();
    return { ok: true };
  },

  // Writes the tables to a file, for another process to start with; but not those in `without`.
  "POST save": (body, { tables }) => {
    const kept = Object.entries(tables).filter(([name]) => !body.without.includes(name));
    writeFileSync(body.file, v8.serialize(Object.fromEntries(kept)));
    return { ok: true };
  },

  "POST reset": () => {
    scripts = [];
    for (const entry of requests) entry.release?.();
    requests = [];
    clockOffsetMs = 0;
    return { ok: true };
  },

  // Answers when `count` requests (from id `after_id` on) are in the state.
  "POST wait": (body, _app, res) =>
    new Promise((resolve) => {
      const { path, method, state = "arrived", count = 1, after_id = 0 } = body;
      const matches = () =>
        requests.filter(
          (e) =>
            e.id > after_id &&
            (!path || path === "*" || e.path === pathOf(path)) &&
            (!method || e.method === method) &&
            STATES[state](e),
        );
      const finish = (reached) => {
        clearTimeout(timer);
        resolve({ reached, requests: matches().map(publicEntry) });
      };
      const check = () => {
        if (res.destroyed || matches().length < count) return res.destroyed;
        finish(true);
        return true;
      };
      const timer = setTimeout(() => {
        waiters = waiters.filter((waiter) => waiter !== check);
        finish(false);
      }, body.timeout_ms ?? 10_000);
      if (!check()) waiters.push(check);
    }),

  // Answers when the clients have closed all their connections.
  "POST emptied": (body, _app, res) =>
    new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        resolve({ open: sockets.size });
      };
      const check = () => {
        if (res.destroyed || sockets.size > 0) return res.destroyed;
        finish();
        return true;
      };
      const timer = setTimeout(() => {
        waiters = waiters.filter((waiter) => waiter !== check);
        finish();
      }, body.timeout_ms);
      if (!check()) waiters.push(check);
    }),

  "GET sessions": (_body, { tables }) => tables.session,

  "POST revoke": (body, { tables }) => {
    const index = tables.session.findIndex((row) => row.id === body.session_id);
    if (index >= 0) tables.session.splice(index, 1);
    return { revoked: index >= 0 };
  },

  // Moves a session's dates: seconds from the server's now, negative for the past.
  "POST session": (body, { tables }) => {
    const row = tables.session.find((one) => one.id === body.session_id);
    if (!row) return { changed: false };
    const at = (seconds) => new Date(Date.now() + seconds * 1000);
    if ("expires_in" in body) row.expiresAt = at(body.expires_in);
    if ("created_in" in body) row.createdAt = at(body.created_in);
    if ("updated_in" in body) row.updatedAt = at(body.updated_in);
    return { changed: true };
  },

  "POST clock": (body) => {
    clockOffsetMs = body.offset_s * 1000;
    return { now: new Date().toISOString() };
  },
};

async function control(req, res, url, app) {
  const handler = CONTROL[`${req.method} ${url.pathname.slice("/__test/".length)}`];
  let status = handler ? 200 : 404;
  let answer = { error: "no such control" };
  try {
    let text = "";
    for await (const chunk of req.setEncoding("utf8")) text += chunk;
    if (handler) answer = await handler(text ? JSON.parse(text) : {}, app, res);
  } catch (error) {
    status = 400;
    answer = { error: String(error?.message ?? error) };
  }
  res.writeHead(status, { "content-type": "application/json" });
  res.end(JSON.stringify(answer));
}

const { build } = await import(`./${version}/auth.mjs`);
let app;
const server = http.createServer((req, res) => {
  const url = new URL(req.url, "http://127.0.0.1");
  if (url.pathname.startsWith("/__test/")) return void control(req, res, url, app);
  serve(req, res, url, app).catch((error) => {
    console.error(error);
    if (res.headersSent) return res.destroy();
    res.statusCode = 500;
    res.setHeader("x-harness-error", "1");
    res.end();
  });
});
// Idle connections stay open: a client's pool must not race a closing one.
server.keepAliveTimeout = 0;
server.requestTimeout = 0;
server.headersTimeout = 0;
server.listen(Number(port), "127.0.0.1", async () => {
  const { port } = server.address();
  app = build(test, `http://127.0.0.1:${port}`);
  if (tablesFile) Object.assign(app.tables, v8.deserialize(readFileSync(tablesFile)));
  await app.auth.$context; // options that cannot work end the process here
  process.stdout.write(`${JSON.stringify({ port })}\n`);
});
