// The tools that docs/tools.md shows, taken from the page as they stand there, called by their forms.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { browser, Gateway, open } from "./world.mjs";

const PAGE = join(import.meta.dirname, "../../docs/tools.md");

/** The first YAML of the page: the file of tools that a reader copies. */
function shown() {
  const [, text] = readFileSync(PAGE, "utf8").match(/^```yaml\n(# tools\.yaml\n[\s\S]*?)^```$/m) ?? [];
  assert.ok(text, "docs/tools.md begins with a file of tools");
  return text;
}

let chrome;
let gateway;
before(async () => {
  gateway = await Gateway.start({ tools: shown() });
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await gateway?.end();
});

async function on(tool, does) {
  const page = await open(chrome, gateway, { path: `#/tools/${tool}` });
  try {
    await page.getByRole("heading", { name: tool, exact: true }).waitFor();
    await does(page);
    assert.deepEqual(page.faults, []);
  } finally {
    await page.context().close();
  }
}

/** Presses "Call"; the arguments as they went out, what was answered, and the envelope that came of it. */
async function called(page, tool) {
  const asked = page.waitForRequest((request) => request.method() === "POST" && new URL(request.url()).pathname === `/api/v1/tools/${tool}`);
  await page.getByRole("button", { name: "Call" }).click();
  const request = await asked;
  const response = await request.response();
  const sent = Object.entries(request.postDataJSON());
  assert.deepEqual(sent.map(([name]) => name), ["arguments"]);
  if (!response.ok()) return { args: sent[0][1], status: response.status() };
  const { id } = await response.json();
  return { args: sent[0][1], status: response.status(), envelope: await gateway.api("GET", `api/v1/envelopes/${id}`) };
}

test("the page of the docs has three tools, and each has a form", async () => {
  const { tools } = await gateway.api("GET", "api/v1/tools");
  assert.deepEqual(tools.map(({ name }) => name).sort(), ["announce", "greet", "invite"]);
  await on("greet", async (page) => {
    for (const { name, description } of tools) {
      const entry = page.locator(".groups .group", { has: page.locator(".group-actor", { hasText: new RegExp(`^${name}$`) }) });
      assert.equal(await entry.locator(".group-sample").innerText(), description);
      await entry.click();
      await page.getByRole("heading", { name, exact: true }).waitFor();
      await page.getByLabel("name").waitFor();
    }
  });
});

test("greet: a text that is required, with what it means", () =>
  on("greet", async (page) => {
    const name = page.getByLabel("name");
    assert.equal(await page.locator("#field-name-note").innerText(), "Who");
    await page.getByRole("button", { name: "Call" }).click();
    await page.locator("#field-name[aria-invalid=true]").waitFor();
    assert.equal(await page.locator("#field-name-note").innerText(), "is required");
    // A number that was typed into a text stays one.
    await name.fill("42");
    const { args, envelope } = await called(page, "greet");
    assert.deepEqual(args, { name: "42" });
    assert.deepEqual([envelope.payload, envelope.actors, envelope.tool], [{ name: "42" }, ["greet"], "greet"]);
    await gateway.succeed(envelope.id, { text: "Hello, 42!" });
    await page.locator(".call").getByText("Hello, 42!").waitFor();
  }));

test("announce: a choice with a default, and a call that waits for its result", () =>
  on("announce", async (page) => {
    await page.getByLabel("name").fill("Ada");
    const mood = page.getByLabel("mood");
    assert.deepEqual(await mood.locator("option").allInnerTexts(), ["not given", "kind", "cross"]);
    assert.equal(await mood.locator("option:checked").innerText(), "kind");
    const first = await called(page, "announce");
    assert.deepEqual(first.args, { name: "Ada", mood: "kind" });
    await mood.selectOption("cross");
    const second = await called(page, "announce");
    assert.deepEqual(second.args, { name: "Ada", mood: "cross" });
    assert.deepEqual([second.envelope.payload, second.envelope.actors], [{ name: "Ada", mood: "cross" }, ["greet", "shout"]]);
    // Left out, the gateway takes the default.
    await mood.selectOption("not given");
    const third = await called(page, "announce");
    assert.deepEqual([third.args, third.envelope.payload], [{ name: "Ada" }, { name: "Ada", mood: "kind" }]);
    await gateway.succeed(second.envelope.id, "ADA!");
    await page.locator(".call", { hasText: "ADA!" }).locator(".status.succeeded").waitFor();
  }));

test("invite: a list of objects as JSON, and what is wrong in it is said at its field", () =>
  on("invite", async (page) => {
    await page.getByLabel("name").fill("Ada");
    const guests = page.getByLabel("guests");
    const note = page.locator("#field-guests-note");
    assert.equal(await guests.inputValue(), "[]");
    assert.match(await page.locator("label[for=field-guests]").innerText(), /JSON list of object/);
    const alone = await called(page, "invite");
    assert.deepEqual([alone.args, alone.envelope.payload], [{ name: "Ada", guests: [] }, { name: "Ada", guests: [] }]);

    await guests.fill('[{"name": "Bob", "age": 41}, {"name": "Eve"}');
    await page.getByRole("button", { name: "Call" }).click();
    await note.getByText("is not JSON").waitFor();
    for (const [text, reason] of [
      ['[{"age": 41}]', "guests.0.name"],
      ['[{"name": "Bob"}, {"name": "Eve", "age": "old"}]', "guests.1.age"],
    ]) {
      await guests.fill(text);
      const refused = await called(page, "invite");
      assert.equal(refused.status, 400, text);
      await note.getByText(reason).waitFor();
      assert.equal(await guests.getAttribute("aria-invalid"), "true");
      const said = await page.locator("form .problem[role=alert]").innerText();
      assert.equal(said.split(reason).length, 2, `it is said once: ${said}`);
      await page.shot("tool-refused");
    }
    const list = [{ name: "Bob", age: 41 }, { name: "Eve" }];
    await guests.fill(JSON.stringify(list));
    const { args, envelope } = await called(page, "invite");
    assert.deepEqual(args, { name: "Ada", guests: list });
    // The route has a name in the file, and its deadline is the tool's.
    assert.deepEqual([envelope.payload, envelope.actors, envelope.timeout_seconds], [args, ["greet", "shout"], 60]);
    await page.locator("#field-guests[aria-invalid=false]").waitFor();
  }));
