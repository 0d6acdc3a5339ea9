// The example of `make demo` as somebody sees it on the page: its run, what fails in it, and the replay of that.

import assert from "node:assert/strict";
import { join } from "node:path";
import { mkdirSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { browser, Machine, open, until } from "./world.mjs";

const EXAMPLE = join(import.meta.dirname, "../../examples/documents");
const ROUTE = ["split", "analyse", "summarise", "collect", "render"];
const PHONE = { width: 390, height: 844 };

let chrome;
let machine;
before(async () => {
  machine = await Machine.start(EXAMPLE);
  chrome = await browser();
});
after(async () => {
  await chrome?.close();
  await machine?.end();
});

async function on(path, does, options = {}) {
  const page = await open(chrome, machine, { path, ...options });
  try {
    await does(page);
    assert.deepEqual(page.faults, []);
  } finally {
    await page.context().close();
  }
}

/** Calls the tool by its form; the id of its envelope. */
async function call(page, directory) {
  await page.getByLabel("directory").fill(directory);
  await page.getByRole("button", { name: "Call" }).click();
  return (await page.locator(".call a").first().getAttribute("href")).split("/").pop();
}

/** Enough to be seen at work for some seconds on any machine, and on a busy one for a minute. */
const PAGES = 400;
const PAGE_WORDS = 25_000;
const RUN_LIMIT_MS = 180_000;

function many(folder) {
  mkdirSync(folder);
  for (let page = 0; page < PAGES; page++) writeFileSync(join(folder, `${page}.txt`), `Page ${page}. `.repeat(PAGE_WORDS));
  return folder;
}

test("a run of the documents is called, watched and looked at; what failed in it is replayed", async () => {
  let id;
  await on("#/tools/report", async (page) => {
    const long = await call(page, many(join(machine.folder, "many")));
    await page.locator(".call .status.running").waitFor();
    await page.shot("demo-call");
    await page.at("#/actors/analyse");
    await page.locator(".panel .facts div", { hasText: /(Queued|In flight)\s*[1-9]/ }).first().waitFor();
    await page.shot("demo-run");
    await page.at(`#/envelopes/${long}`);
    await page.locator(".title .status.succeeded").waitFor({ timeout: RUN_LIMIT_MS });
    await page.at("#/tools/report");
    id = await call(page, join(EXAMPLE, "broken"));
    await page.at(`#/envelopes/${id}`);
    await page.locator(".title .status.succeeded").waitFor();
    for (const actor of ROUTE) await page.locator(".trace-line", { hasText: actor }).first().waitFor();
    await page.shot("demo-envelope");
    await page.at("#/failures");
    await page.locator(".group", { hasText: "analyse" }).getByText("4").first().waitFor();
    await page.shot("demo-failures");
  });

  await on("#/tools/report", async (page) => {
    const failed = await call(page, join(EXAMPLE, "nowhere"));
    await page.locator(".call .status.failed").waitFor();
    await page.at(`#/envelopes/${failed}`);
    await page.locator(".failure", { hasText: "nowhere" }).waitFor();
    await page.shot("demo-failed");
    await page.at("#/failures?actor=split");
    await page.locator(".letter").getByRole("button", { name: "Replay…" }).click();
    const payload = page.getByLabel("Payload, JSON");
    await until("the payload is there", async () => (await payload.inputValue()).includes("nowhere"));
    await payload.fill(JSON.stringify({ directory: join(EXAMPLE, "broken") }));
    await page.shot("demo-replay");
    await page.getByRole("button", { name: "Send again" }).click();
    await page.locator(".toast a").click();
    await page.locator(".title .status.succeeded").waitFor();
    await page.locator(`.facts a[href$="/${failed}"]`).waitFor();
    await page.shot("demo-replayed");
  });
});

test("fits a phone: nothing is wider than the screen", () =>
  on(
    "#/actors",
    async (page) => {
      const views = ["actors", "actors/split?as=graph", "envelopes", "failures", "tools/report", "audit"];
      const [{ id }] = (await (await fetch(`${machine.url}api/v1/envelopes`)).json()).envelopes;
      for (const path of [...views, `envelopes/${id}`]) {
        await page.at(`#/${path}`);
        await page.locator("main > *").first().waitFor();
        await page.locator("main [aria-busy=true]").waitFor({ state: "detached" });
        await page.shot(`phone-${path.replace(id, "one").replaceAll(/[^a-z]+/g, "-")}`);
        const [wide, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(wide <= screen, `${path} is ${wide} wide`);
      }
    },
    PHONE,
  ));
