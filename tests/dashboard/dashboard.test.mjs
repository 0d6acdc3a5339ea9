// What a person does with the page, in a real browser against a real gateway with 100,000 envelopes and 500 actors.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { browser, Gateway, nameless, open, until } from "./world.mjs";

const ENVELOPES = 100_000;
const ACTORS = 500;

const documents = {
  name: "summarise",
  description: "Summarises a document, page by page",
  route: ["split", "ocr", "embed"],
  progress: true,
  parameters: {
    url: { type: "string", required: true, description: "Where the document is" },
    pages: { type: "integer", default: 10, description: "How many pages at most" },
    language: { type: "string", options: ["en", "de", "ru"], default: "en" },
  },
};

/** Routes of five to nine actors. */
function pipelines() {
  const kinds = ["fetch", "split", "ocr", "classify", "embed", "translate", "score", "merge", "notify"];
  const tools = [documents];
  let actors = documents.route.length;
  for (let at = 0; actors < ACTORS; at++) {
    const length = Math.min(ACTORS - actors, 5 + (at % 5));
    const route = kinds.slice(0, length).map((kind) => `${kind}-${String(at).padStart(2, "0")}`);
    tools.push({ name: `pipeline-${at}`, description: `Pipeline ${at}`, route, parameters: {} });
    actors += length;
  }
  return tools;
}

let chrome;
let gateway;
before(async () => {
  gateway = await Gateway.start({ tools: pipelines(), envelopes: ENVELOPES });
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await gateway?.end();
});

/** A page of its own for one fact; whatever went wrong in it fails the test. */
async function on(path, does, options = {}) {
  const page = await open(chrome, options.gateway ?? gateway, { path, ...options });
  try {
    await does(page);
    assert.deepEqual(page.faults, []);
  } finally {
    await page.context().close();
  }
}

const row = (page, text) => page.locator(".rows .line", { hasText: text });

describe("actors", () => {
  test("five hundred are drawn, found by name, and walked through by keys", () =>
    on("#/actors", async (page) => {
      await page.locator(".node").nth(ACTORS - 1).waitFor();
      assert.equal(await page.locator(".node").count(), ACTORS);
      await page.shot("actors-500-light");
      await page.keyboard.press("/");
      await page.keyboard.type("ocr-07");
      await until("the filter holds", async () => (await page.locator(".node").count()) === 3);
      assert.equal(await page.locator(".node:not(.faint)").getAttribute("data-actor"), "ocr-07");
      await page.keyboard.press("Escape");
      await page.locator("[data-actor='ocr-07']").focus();
      await page.keyboard.press("ArrowRight");
      assert.equal(await page.evaluate(() => document.activeElement.dataset.actor), "classify-07");
      await page.keyboard.press("Enter");
      await page.getByRole("complementary", { name: "Actor classify-07" }).waitFor();
      await page.shot("actors-filtered");
      assert.match(page.url(), /#\/actors\/classify-07\?q=ocr-07$/);
    }));

  test("as a table they are sorted by any column", () =>
    on("#/actors?as=table", async (page) => {
      await page.locator("tbody tr").nth(ACTORS - 1).waitFor();
      await page.getByRole("button", { name: "Queued" }).click();
      assert.equal(await page.locator("th", { hasText: "Queued" }).getAttribute("aria-sort"), "descending");
    }));

  test("a queue that fills is seen within seconds", () =>
    on("#/actors/notify-04", async (page) => {
      const fact = page.locator(".panel .facts div", { hasText: "Queued" }).locator("dd");
      gateway.queue("notify-04");
      await fact.filter({ hasText: /^0$/ }).waitFor();
      for (let sent = 0; sent < 3; sent++) await gateway.api("POST", "api/v1/envelopes", { route: ["notify-04"], payload: sent });
      await fact.filter({ hasText: /^3$/ }).waitFor();
      await page.shot("actor-with-queue");
    }));
});

describe("envelopes", () => {
  test("a hundred thousand are scrolled through, and only what is seen exists", () =>
    on("#/envelopes", async (page) => {
      await row(page, "failed-one").waitFor();
      await page.locator(".tabs a", { hasText: "all" }).filter({ hasText: "100k" }).waitFor();
      await page.shot("envelopes-light");
      const box = page.locator(".rows");
      await until("two thousand rows are loaded", async () => {
        await box.evaluate((element) => element.scrollTo({ top: element.scrollHeight }));
        return box.evaluate((element) => element.scrollHeight / 37 > 2000);
      });
      assert.ok((await page.locator(".rows .line").count()) < 100);
      await page.shot("envelopes-deep");
    }));

  test("one is found by its id, by keys, and the way back leads to the same place", () =>
    on("#/envelopes", async (page) => {
      await row(page, "failed-one").waitFor();
      await page.keyboard.press("/");
      await page.keyboard.type("077777-");
      await until("one is left", async () => (await page.locator(".rows .line").count()) === 1);
      await page.keyboard.press("Enter");
      await page.keyboard.press("j");
      await page.keyboard.press("o");
      await page.getByRole("heading", { name: "077777-0197e3a2-7d3a-9a51" }).waitFor();
      await page.keyboard.press("u");
      await page.locator(".line.selected", { hasText: "077777-" }).waitFor();
      assert.match(page.url(), /q=077777-/);
    }));

  test("filters hold together and stand in the address", () =>
    on("#/envelopes?status=failed&actor=ocr", async (page) => {
      await row(page, "failed-one").waitFor();
      assert.equal(await page.locator(".rows .line:not(:has(.status.failed))").count(), 0);
    }));

  test("a failed one shows where, how often and why", () =>
    on("#/envelopes/failed-one", async (page) => {
      await page.getByRole("heading", { name: "failed-one" }).waitFor();
      const ocr = page.locator(".trace-line.failed");
      await ocr.waitFor();
      assert.match(await ocr.innerText(), /ocr[\s\S]*× 3/);
      assert.match(await page.locator(".failure").innerText(), /processing_error[\s\S]*no text layer/);
      await page.locator(".log tbody tr").nth(7).waitFor();
      await page.shot("envelope-failed-light");
      await page.getByRole("button", { name: "Copy as curl" }).click();
      await page.locator(".toast").waitFor();
      const command = await page.evaluate(() => navigator.clipboard.readText());
      assert.ok(command.includes(`'${gateway.url}api/v1/envelopes'`) && command.includes('"page":12'), command);
    }));

  test("one is sent again with another payload, and that one is cancelled", () =>
    on("#/envelopes/failed-one", async (page) => {
      await page.getByRole("button", { name: "Resubmit…" }).click();
      const payload = page.getByLabel("Payload, JSON");
      await payload.fill('{"page": ');
      assert.ok(await page.getByRole("button", { name: "Send as a new envelope" }).isDisabled());
      await payload.fill('{"page": 13}');
      await page.getByRole("button", { name: "Send as a new envelope" }).click();
      await page.getByRole("link", { name: "failed-one" }).waitFor();
      const id = await page.locator("h1").innerText();
      const sent = await gateway.api("GET", `api/v1/envelopes/${id}`);
      assert.deepEqual([sent.payload, sent.resubmit_of], [{ page: 13 }, "failed-one"]);
      await page.getByRole("button", { name: "Cancel…" }).click();
      await page.getByLabel("Reason").fill("only a try");
      await page.getByRole("button", { name: "Cancel the envelope" }).click();
      await page.locator(".title .status.cancelled").waitFor();
    }));
});

describe("tools", () => {
  test("a call is refused by the field that is wrong, then followed live to its result", () =>
    on("#/tools/summarise", async (page) => {
      await page.getByRole("button", { name: "Call" }).click();
      await page.locator("#field-url[aria-invalid=true]").waitFor();
      await page.getByLabel("url").fill("https://example.org/a.pdf");
      await page.getByLabel("pages").fill("3");
      await page.getByRole("button", { name: "Call" }).click();
      const call = page.locator(".call");
      const id = (await call.locator("a").getAttribute("href")).split("/").pop();
      const { payload } = await gateway.api("GET", `api/v1/envelopes/${id}`);
      assert.deepEqual(payload, { url: "https://example.org/a.pdf", pages: 3, language: "en" });
      await gateway.progress(id, documents.route, 1, "processing");
      await call.getByText("ocr: processing").waitFor();
      await page.shot("tool-running");
      await gateway.succeed(id, { summary: "Queues hold." });
      await call.getByText("Queues hold.").waitFor();
      await call.locator(".status.succeeded").waitFor();
    }));

  test("an envelope's own page follows it live", async () => {
    const { id } = await gateway.api("POST", "api/v1/envelopes", { route: documents.route, payload: {} });
    await on(`#/envelopes/${id}`, async (page) => {
      await gateway.progress(id, documents.route, 0, "processing");
      await page.locator(".trace-line.processing", { hasText: "split" }).waitFor();
      await gateway.progress(id, documents.route, 0, "completed");
      await page.locator(".trace-line.completed", { hasText: "split" }).waitFor();
      await gateway.succeed(id, { done: true });
      await page.locator(".title .status.succeeded").waitFor();
      await page.getByLabel("Result").waitFor();
    });
  });
});

describe("failures", () => {
  test("one is replayed with another payload", () =>
    on("#/failures", async (page) => {
      await page.locator(".group", { hasText: "timeout" }).waitFor();
      await page.shot("failures-light");
      const letter = page.locator(".letter", { hasText: "failed-one" });
      await letter.getByRole("button", { name: "Replay…" }).click();
      const payload = page.getByLabel("Payload, JSON");
      await until("the payload is there", async () => (await payload.inputValue()).includes('"page": 0'));
      await payload.fill('{"page": 0, "dpi": 300}');
      await page.shot("replay-light");
      await page.getByRole("button", { name: "Send again" }).click();
      await page.locator(".toast a").click();
      await page.getByLabel("Payload").getByText('"dpi"').waitFor();
      assert.match(await page.locator(".facts").innerText(), /Another try of\s+failed-one/);
      await page.at("#/failures");
      await page.locator(".letter").first().waitFor();
      assert.equal(await page.locator(".letter", { hasText: "failed-one" }).count(), 0);
    }));

  test("a group is replayed whole, after a question", () =>
    on("#/failures?actor=embed&code=timeout", async (page) => {
      await page.getByRole("button", { name: "Replay all 5…" }).click();
      await page.getByRole("heading", { name: "Replay 5 failures of embed, timeout" }).waitFor();
      await page.getByRole("button", { name: "Replay", exact: true }).click();
      await page.locator(".toast", { hasText: "5 envelopes sent again" }).waitFor();
      await page.getByRole("heading", { name: "Nothing fits" }).waitFor();
      const { groups } = await gateway.api("GET", "api/v1/dead-letters/groups");
      assert.deepEqual(groups.map(({ actor }) => actor), ["ocr"]);
    }));

  test("what is on the broker's dead-letter queue is looked at, put back and discarded", () =>
    on("#/failures", async (page) => {
      gateway.die("merge-03", [
        ["from-broker", "poison: delivered 20 times"],
        ["looping", "loop: published 999 times"],
        [null, ""],
      ]);
      await page.locator(".group.on-broker", { hasText: "3" }).waitFor();
      await page.locator(".group", { hasText: "asya-merge-03-dlq" }).click();
      const letter = page.locator(".letter", { hasText: "from-broker" });
      await letter.getByText("poison").waitFor();
      assert.equal(await page.locator(".letter .source", { hasText: "broker" }).count(), 3);
      await page.getByText("moved it here by itself").waitFor();
      await page.shot("failures-broker-light");
      await letter.getByRole("button", { name: "Replay…" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByLabel("The message").getByText('"from-broker"').first().waitFor();
      assert.equal(await dialog.getByLabel("Payload, JSON").count(), 0);
      await page.shot("replay-broker-light");
      await dialog.getByRole("button", { name: "Put back" }).click();
      await page.locator(".toast", { hasText: "1 message put back" }).waitFor();
      await letter.waitFor({ state: "detached" });
      const queued = async () => (await gateway.api("GET", "api/v1/actors")).actors.find(({ name }) => name === "merge-03");
      await until("it is on its queue", async () => (await queued()).queued === 1);
      await page.getByLabel("Choose all shown").check();
      await page.getByRole("button", { name: "Discard 2…" }).click();
      await dialog.getByLabel("Yes, delete").check();
      await dialog.getByRole("button", { name: "Discard" }).click();
      await page.locator(".toast", { hasText: "2 messages discarded" }).waitFor();
      await page.getByRole("heading", { name: "Nothing fits" }).waitFor();
      const { entries } = await gateway.api("GET", "api/v1/audit?limit=2");
      assert.deepEqual(entries.map(({ action, detail }) => [action, detail.source, detail.actor]), [
        ["delete", "broker", "merge-03"],
        ["replay", "broker", "merge-03"],
      ]);
      await page.at("#/failures?source=broker&actor=nobody");
      await page.getByRole("alert").getByText("the dead-letter queue of nobody cannot be looked at").waitFor();
    }));

  test("everything is replayed or deleted only by somebody who says so twice", () =>
    on("#/failures", async (page) => {
      await page.getByRole("button", { name: /Replay all \d+…/ }).click();
      const dialog = page.getByRole("dialog");
      const action = dialog.getByRole("button", { name: "Replay", exact: true });
      assert.ok(await action.isDisabled());
      await dialog.getByLabel("Yes, every failure").check();
      assert.ok(await action.isEnabled());
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      await page.locator(".letter input").first().check();
      await page.getByRole("button", { name: "Discard 1…" }).click();
      await dialog.getByLabel("Yes, delete").check();
      await dialog.getByRole("button", { name: "Discard" }).click();
      await page.locator(".toast", { hasText: "1 failure discarded" }).waitFor();
    }));
});

describe("the page", () => {
  test("names every control, in each view", () =>
    on("", async (page) => {
      for (const path of ["actors", "actors/ocr?as=table", "envelopes", "envelopes/failed-one", "failures", "tools/summarise", "audit"]) {
        await page.at(`#/${path}`);
        await page.locator("main > *").first().waitFor();
        await page.locator("main [aria-busy=true]").waitFor({ state: "detached" });
        assert.deepEqual(await nameless(page), [], path);
      }
    }));

  test("is used by keys: skip link, help, views", () =>
    on("", async (page) => {
      await page.locator(".node").first().waitFor();
      await page.keyboard.press("Tab");
      assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
      await page.keyboard.press("?");
      const help = page.getByRole("dialog", { name: "Keys" });
      await help.waitFor();
      assert.ok(await page.evaluate(() => document.querySelector("dialog").contains(document.activeElement)));
      await page.keyboard.press("Escape");
      await help.waitFor({ state: "detached" });
      await page.keyboard.press("3");
      await page.locator("nav a[aria-current]", { hasText: "Failures" }).waitFor();
    }));

  test("is dark where the system is, and as somebody chose after a reload", () =>
    on(
      "#/envelopes/failed-one",
      async (page) => {
        const back = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        await page.locator(".trace-line").first().waitFor();
        const dark = await back();
        await page.shot("envelope-failed-dark");
        await page.at("#/actors");
        await page.locator(".node").nth(ACTORS - 1).waitFor();
        await page.shot("actors-500-dark");
        await page.getByRole("button", { name: "Theme: system" }).click();
        const light = await back();
        assert.notEqual(light, dark);
        await page.reload();
        assert.equal(await back(), light);
      },
      { scheme: "dark" },
    ));

  test("says that the gateway is away, and goes on by itself when it is back", () =>
    on("#/envelopes", async (page) => {
      await row(page, "failed-one").waitFor();
      await gateway.down();
      await page.getByText("The gateway does not answer").waitFor();
      assert.ok((await page.locator(".rows .line").count()) > 10);
      await page.shot("gateway-away");
      await gateway.up();
      await page.locator(".link.ok").waitFor();
      const { id } = await gateway.api("POST", "api/v1/envelopes", { route: ["ocr"], payload: 1 });
      await row(page, id).waitFor();
    }));
});

test("who must log in gives a token, and sees and does what its roles allow", async () => {
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const tokens = [
    { name: "root", sha256: sha256("root-token-0123456789"), roles: ["admin"] },
    { name: "guest", sha256: sha256("guest-token-0123456789"), roles: ["read"] },
  ];
  const closed = await Gateway.start({ tools: [documents], env: { ASYA_GATEWAY_TOKENS: JSON.stringify(tokens), ASYA_GATEWAY_LOGS_URL: "https://logs.example.com/?q={id}" } });
  closed.token = "root-token-0123456789";
  try {
    const { id } = await closed.api("POST", "api/v1/envelopes", { route: ["ocr"], payload: { secret: 1 } });
    await on(
      `#/envelopes/${id}`,
      async (page) => {
        const field = page.getByLabel("Token");
        await field.fill("wrong-token");
        await page.getByRole("button", { name: "Log in" }).click();
        await page.getByText("does not know this token").waitFor();
        await page.shot("login");
        await field.fill("guest-token-0123456789");
        await page.getByRole("button", { name: "Log in" }).click();
        await page.getByRole("heading", { name: id }).waitFor();
        await page.getByText("need the role payload").waitFor();
        assert.equal(await page.getByRole("link", { name: "Logs" }).getAttribute("href"), `https://logs.example.com/?q=${id}`);
        assert.equal(await page.getByRole("button", { name: "Resubmit…" }).count(), 0);
        assert.equal(await page.locator("nav a", { hasText: "Audit" }).count(), 0);
        await page.getByRole("button", { name: "Log out" }).click();
        await field.waitFor();
      },
      { gateway: closed },
    );
  } finally {
    await closed.end();
  }
});

test("a gateway without anything says what to do next", async () => {
  const empty = await Gateway.start({ tools: [] });
  try {
    for (const [path, says] of [
      ["actors", "No actors yet"],
      ["envelopes", "No envelopes yet"],
      ["failures", "Nothing has failed"],
      ["tools", "No tools yet"],
      ["chat", "No agents yet"],
      ["approvals", "Nothing waits for approval"],
      ["nowhere", "There is no such page"],
    ]) {
      await on(`#/${path}`, (page) => page.getByRole("heading", { name: says }).waitFor(), { gateway: empty });
    }
  } finally {
    await empty.end();
  }
});
