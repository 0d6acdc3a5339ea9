// An agent as processes, beside a gateway: the agent, its tool, the approval and the two ends, on one queue file; and a model
// that says what a test has written for it.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { BINARY, Gateway, until } from "./world.mjs";

const CREW = process.env.ASYA_TEST_CREW ?? join(dirname(BINARY), "asya-crew");
export const AGENT = "ops";
/** Handlers by actor. */
const ACTORS = { [AGENT]: "agent", "http-get": "http_get", approval: "approval", "happy-end": "happy_end", "error-end": "error_end" };
/** People with their roles. The token of each is their name, eight times. */
const PEOPLE = { ann: ["chat", "read"], bob: ["chat"], carol: ["approve", "read"], dave: ["approve"], root: ["admin"] };
export const token = (name) => name.repeat(8);
/** Pause before each word of the model. */
const PACE_MS = 15;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const parameters = { type: "object", properties: { url: { type: "string" } }, required: ["url"] };

/** A model that speaks chat completions as a stream. */
export class Model {
  /** `play` makes of the messages what is said: `{text, calls}`, where a text is a list of strings and promises to wait for, or `{refuse}`. */
  static async start(play) {
    const model = new Model();
    model.server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      // The page that the tool gets.
      if (request.method === "GET") {
        const said = request.url === "/shop/status" ? "web-0 answers in 2.4 s, web-1 in 2.6 s; the queue grows" : `announced at ${request.url}`;
        return void response.writeHead(200, { "content-type": "text/plain" }).end(said);
      }
      const { text = [], calls = [], refuse } = play(JSON.parse(body).messages);
      if (refuse) return void response.writeHead(400, { "content-type": "application/json" }).end(JSON.stringify({ error: { message: refuse } }));
      response.writeHead(200, { "content-type": "text/event-stream" });
      const tell = (delta, finish_reason = null) => response.write(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason }] })}\n\n`);
      for (const part of text) {
        if (typeof part !== "string") await part;
        else
          for (const word of part.split(/(?<= )/)) {
            await pause(PACE_MS);
            tell({ content: word });
          }
      }
      calls.forEach(([name, args], index) =>
        tell({ tool_calls: [{ index, id: `call-${index}`, type: "function", function: { name, arguments: JSON.stringify(args) } }] }),
      );
      tell({}, calls.length > 0 ? "tool_calls" : "stop");
      response.end('data: {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}\n\ndata: [DONE]\n\n');
    }).listen(0, "127.0.0.1");
    await once(model.server, "listening");
    model.host = `http://127.0.0.1:${model.server.address().port}`;
    return model;
  }

  end() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

/** What was said last by a person, and the answers of tools since then. */
export function heard(messages) {
  const last = messages.findLastIndex(({ role }) => role === "user");
  return { asked: messages[last]?.content ?? "", results: messages.slice(last).filter(({ role }) => role === "tool") };
}

export class Fleet {
  static async start(model) {
    const fleet = new Fleet();
    fleet.folder = mkdtempSync(join(tmpdir(), "asya-agents-"));
    const at = (name) => join(fleet.folder, name);
    mkdirSync(at("agents"));
    const tools = [
      { name: "http_get", risk: "low" },
      { name: "announce", risk: "medium", approval: true },
      { name: "k8s_write", risk: "high", approval: true },
    ];
    const agent = { name: AGENT, description: "Operates the shop, and says what it found", models: ["scripted", "larger"], tools };
    writeFileSync(at("agents/ops.json"), JSON.stringify(agent));
    writeFileSync(at("sidecars"), "sidecars-0123456789abcdef");
    const tokens = Object.entries(PEOPLE).map(([name, roles]) => ({ name, roles, sha256: createHash("sha256").update(token(name)).digest("hex") }));
    fleet.gateway = await Gateway.start({
      tools: [],
      env: {
        ASYA_GATEWAY_TOKENS: JSON.stringify(tokens),
        ASYA_GATEWAY_CALLBACK_TOKEN_FILE: at("sidecars"),
        ASYA_GATEWAY_AGENTS_DIR: at("agents"),
      },
    });
    fleet.gateway.token = token("root");
    fleet.url = fleet.gateway.url;
    const used = [
      { use: "http-get" },
      { name: "announce", description: "Announces at an address", actor: "http-get", parameters, approval: true, risk: "medium" },
      // No cluster is here: what it proposes is played, and it is never let go.
      { name: "k8s_write", description: "Changes the cluster", actor: "http-get", parameters: { type: "object" }, approval: true, risk: "high" },
    ];
    const settings = {
      ASYA_LLM_BACKEND: "openai-compatible",
      ASYA_LLM_BASE_URL: `${model.host}/v1`,
      ASYA_LLM_MODEL: "scripted",
      ASYA_AGENT_MODELS: "scripted,larger",
      ASYA_AGENT_TOOLS: JSON.stringify(used),
      ASYA_ROUTES_ALLOW: `${AGENT},approval,http-get`,
      ASYA_HTTP_ALLOW: "127.0.0.1",
      ASYA_RECORDS_URL: `file://${at("records")}`,
    };
    fleet.log = "";
    fleet.children = Object.entries(ACTORS).map(([actor, handler]) => {
      fleet.gateway.queue(actor);
      const env = {
        PATH: process.env.PATH,
        ...settings,
        ASYA_ACTOR_NAME: actor,
        ASYA_HANDLER: `asya_crew.${handler}`,
        ASYA_GATEWAY_URL: fleet.url.replace(/\/$/, ""),
        ASYA_GATEWAY_TOKEN_PATH: at("sidecars"),
        ASYA_METRICS_ENABLED: "false",
        ASYA_TRANSPORT: "local",
        ASYA_LOCAL_PATH: fleet.gateway.env.ASYA_LOCAL_PATH,
      };
      const child = spawn(CREW, [], { env, cwd: fleet.folder, stdio: ["ignore", "pipe", "pipe"] });
      for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (fleet.log += `${actor}: ${text}`));
      return child;
    });
    return fleet;
  }

  /** Asks as `who`. */
  async as(who, method, path, body) {
    const gateway = Object.assign(Object.create(Gateway.prototype), { url: this.url, token: token(who) });
    return gateway.api(method, path, body);
  }

  /** Begins a conversation as `who`; its id. */
  async begin(who, message) {
    return (await this.as(who, "POST", "api/v1/sessions", { agent: AGENT, message })).id;
  }

  /** The operation of a conversation that waits. */
  async waiting(session) {
    return until(`an operation waits\n${this.log}`, async () => {
      const { operations } = await this.as("carol", "GET", `api/v1/approvals?phase=waiting&session=${session}`);
      return operations[0];
    });
  }

  async end() {
    await Promise.all(
      this.children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
      }),
    );
    await this.gateway.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
