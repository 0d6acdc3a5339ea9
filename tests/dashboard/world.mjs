// What the tests stand on: gateways of their own, on the local transport and SQLite, and a browser. A sidecar is played
// over the gateway's own callbacks.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { chromium } from "playwright-core";

export const BINARY = process.env.ASYA_TEST_GATEWAY ?? join(import.meta.dirname, "../../target/debug/asya-gateway");
const ASYA = process.env.ASYA_TEST_ASYA ?? join(dirname(BINARY), "asya");
export const SCREENSHOTS = process.env.ASYA_TEST_SCREENSHOTS ?? join(import.meta.dirname, "../../target/dashboard");
/** Longest wait for anything; this machine may be busy. */
export const LIMIT_MS = 20_000;

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function until(what, condition) {
  const end = Date.now() + LIMIT_MS;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`it never came true that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export class Gateway {
  /** With these tools: a list of them, or the text of a file. */
  static async start({ tools, envelopes = 0, env = {} }) {
    const gateway = new Gateway();
    gateway.folder = mkdtempSync(join(tmpdir(), "asya-dashboard-"));
    gateway.port = await freePort();
    gateway.url = `http://127.0.0.1:${gateway.port}/`;
    const at = (name) => join(gateway.folder, name);
    if (tools.length > 0) writeFileSync(at("tools.yaml"), typeof tools === "string" ? tools : JSON.stringify({ tools }));
    gateway.env = {
      PATH: process.env.PATH,
      ASYA_GATEWAY_BIND: "127.0.0.1",
      ASYA_GATEWAY_PORT: String(gateway.port),
      ASYA_TRANSPORT: "local",
      ASYA_LOCAL_PATH: at("queue.db"),
      ASYA_DATABASE_URL: at("gateway.db"),
      ...(tools.length > 0 ? { ASYA_CONFIG_PATH: at("tools.yaml") } : {}),
      ...env,
    };
    if (envelopes > 0) {
      run(BINARY, ["migrate"], gateway.env);
      run("python3", [join(import.meta.dirname, "seed.py"), at("gateway.db"), String(envelopes)], process.env);
    }
    await gateway.up();
    return gateway;
  }

  async up() {
    this.log = "";
    this.child = spawn(BINARY, [], { env: this.env, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on("data", (text) => (this.log += text));
    await until(`the gateway is ready\n${this.log}`, async () => {
      if (this.child.exitCode !== null) throw new Error(`the gateway ended:\n${this.log}`);
      const answer = await fetch(`${this.url}readyz`).catch(() => null);
      return answer?.ok;
    });
  }

  async down(signal = "SIGKILL") {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = once(this.child, "exit");
    this.child.kill(signal);
    await ended;
  }

  async end() {
    await this.down();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async api(method, path, body) {
    const answer = await fetch(`${this.url}${path}`, {
      method,
      headers: { "content-type": "application/json", ...(this.token ? { authorization: `Bearer ${this.token}` } : {}) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text.startsWith("{") ? JSON.parse(text) : text;
  }

  /** The queue of an actor, as the actor's sidecar makes it when it starts. */
  queue(actor) {
    const make = "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('INSERT INTO queues (name) VALUES (?)', (sys.argv[2],)); d.commit()";
    run("python3", ["-c", make, join(this.folder, "queue.db"), `asya-${actor}`], process.env);
  }

  /** Messages on the dead-letter queue of an actor, with the reasons that its sidecar wrote; `null` is no envelope. */
  die(actor, letters) {
    const make = [
      "import json, sqlite3, sys, time",
      "d = sqlite3.connect(sys.argv[1]); queue = 'asya-' + sys.argv[2]",
      "d.execute('INSERT OR IGNORE INTO queues (name) VALUES (?)', (queue,))",
      "(row,) = d.execute('SELECT id FROM queues WHERE name = ?', (queue,)).fetchone()",
      "for body, reason in json.loads(sys.argv[3]):",
      "    id = d.execute('INSERT INTO bodies (body) VALUES (?)', (body.encode(),)).lastrowid",
      "    d.execute('INSERT INTO dead VALUES (?, ?, ?, 0, ?)', (id, row, reason, time.time_ns() // 1000))",
      "d.commit()",
    ].join("\n");
    const envelope = (id) => JSON.stringify({ id, route: { actors: [actor], current: 0 }, payload: { of: id } });
    const rows = letters.map(([id, reason]) => [id === null ? "not even JSON" : envelope(id), reason]);
    run("python3", ["-c", make, join(this.folder, "queue.db"), actor, JSON.stringify(rows)], process.env);
  }

  /** An operation of a conversation that waits, as a tool that proposes itself leaves it: with what it changes. */
  propose(session, proposal) {
    const make = [
      "import json, sqlite3, sys, time",
      "d = sqlite3.connect(sys.argv[1]); p = json.loads(sys.argv[2]); now = time.time_ns() // 1000",
      "d.execute('INSERT INTO operations (id, session_id, envelope_id, phase, proposal, requester, expires_at, created_at)'",
      "          ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)',",
      "          (p['id'], p['session'], 'none', 'waiting', json.dumps(p), 'ann', now + 3_600_000_000, now))",
      "d.commit()",
    ].join("\n");
    run("python3", ["-c", make, join(this.folder, "gateway.db"), JSON.stringify({ session, ...proposal })], process.env);
  }

  /** An operation that is another one now, by its summary and hash. */
  alter(id, proposal) {
    const alter = [
      "import json, sqlite3, sys",
      "d = sqlite3.connect(sys.argv[1])",
      "(old,) = d.execute('SELECT proposal FROM operations WHERE id = ?', (sys.argv[2],)).fetchone()",
      "d.execute('UPDATE operations SET proposal = ? WHERE id = ?', (json.dumps({**json.loads(old), **json.loads(sys.argv[3])}), sys.argv[2]))",
      "d.commit()",
    ].join("\n");
    run("python3", ["-c", alter, join(this.folder, "gateway.db"), id, JSON.stringify(proposal)], process.env);
  }

  /** A sidecar's report. */
  progress(id, actors, index, status) {
    const report = { actors, current_actor_idx: index, current_actor_name: actors[index], status, attempt: 1, seq: 1 };
    return this.api("POST", `envelopes/${id}/progress`, report);
  }

  /** The report of an end actor. */
  succeed(id, result) {
    return this.api("POST", `envelopes/${id}/final`, { status: "succeeded", result });
  }
}

/** `asya up` with its gateway, on the manifests and tools of a directory. */
export class Machine {
  static async start(manifests) {
    const machine = new Machine();
    machine.folder = mkdtempSync(join(tmpdir(), "asya-demo-"));
    machine.url = `http://127.0.0.1:${await freePort()}/`;
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ASYA_")));
    machine.child = spawn(ASYA, ["up", "--plain", "--gateway", new URL(machine.url).host, manifests], {
      cwd: machine.folder,
      env: { ...env, REPORT_DIR: join(machine.folder, "reports") },
      stdio: ["ignore", "pipe", "pipe"],
    });
    machine.log = "";
    for (const stream of [machine.child.stdout, machine.child.stderr]) stream.on("data", (text) => (machine.log += text));
    await until("the gateway of asya up is ready", async () => {
      if (machine.child.exitCode !== null) throw new Error(`asya up ended:\n${machine.log}`);
      return (await fetch(`${machine.url}readyz`).catch(() => null))?.ok;
    });
    return machine;
  }

  async end() {
    const ended = once(this.child, "exit");
    if (this.child.exitCode === null) {
      this.child.kill("SIGINT");
      await ended;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function run(program, args, env) {
  const { status, stderr, error } = spawnSync(program, args, { env, encoding: "utf8" });
  if (status !== 0) throw new Error(`${program} ${args.join(" ")}: ${error ?? stderr}`);
}

/** A browser without anything that would ask hosts outside. */
export function browser() {
  return chromium.launch({
    executablePath: process.env.ASYA_TEST_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page whose errors are kept: none is to be there at the end, and no breach of the page's own policy. */
export async function open(chrome, gateway, { scheme = "light", path = "", width = 1360, height = 820, ...how } = {}) {
  const context = await chrome.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    ...how,
    permissions: ["clipboard-read", "clipboard-write"],
  });
  await fromSources(context);
  const page = await context.newPage();
  page.setDefaultTimeout(LIMIT_MS);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("dialog", (dialog) => (page.faults.push(`said ${dialog.message()}`), void dialog.dismiss()));
  page.on("console", (message) => {
    // The browser reports each refused request by itself; the tests refuse some on purpose.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) page.faults.push(message.text());
  });
  // The page asks its gateway and nobody else, whatever is shown in it.
  page.on("request", (request) => {
    if (!/^(data|blob):/.test(request.url()) && !request.url().startsWith(gateway.url)) page.faults.push(`asked ${request.url()}`);
  });
  page.shot = (name) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), animations: "disabled" });
  page.at = (hash) => page.goto(`${gateway.url}${hash}`);
  await page.at(path);
  return page;
}

/** With ASYA_TEST_PAGE, the page is that of this directory and not the one in the binary: for work on it without cargo. */
async function fromSources(context) {
  const folder = process.env.ASYA_TEST_PAGE;
  if (!folder) return;
  await context.route(
    (url) => url.pathname === "/" || url.pathname.startsWith("/ui/"),
    (route) => {
      const path = new URL(route.request().url()).pathname;
      return route.fulfill({ path: join(folder, path === "/" ? "index.html" : path) });
    },
  );
}

/** Controls that a screen reader could not name. */
export function nameless(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll("a[href], button, input, select, textarea, [role=button], [tabindex='0']")]
      .filter((element) => !element.closest("[aria-hidden=true]"))
      .filter((element) => {
        const labels = [...(element.labels ?? [])].map((label) => label.textContent).join("");
        const described = element.getAttribute("aria-label") ?? element.closest("[aria-label]:not(main):not(nav)")?.getAttribute("aria-label");
        return !(element.textContent.trim() || labels.trim() || described);
      })
      .map((element) => element.outerHTML.slice(0, 120)),
  );
}
