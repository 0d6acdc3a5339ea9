// Conversations that outlast what shows them: two tabs, a gateway that dies, reloads, decisions taken elsewhere.

import assert from "node:assert/strict";
import { test } from "node:test";
import { heard } from "./agents.mjs";
import { act, field, gate, session, stage, talk } from "./stage.mjs";
import { until } from "./world.mjs";

/** What the model waits for. */
let held;

function play(messages, host) {
  const { asked, results } = heard(messages);
  if (asked.startsWith("count")) return { text: ["One two three. ", held.open, "Four five six."] };
  if (asked.startsWith("announce"))
    return results.length > 0 ? { text: ["It is announced."] } : { calls: [["announce", { url: `${host}/sale` }]] };
  return { text: [`You said: ${asked}`] };
}

const all = stage(play);
const { as } = all;

test("two tabs see the same while it happens", () => {
  held = gate();
  return as("ann", "#/chat/new", (left) =>
    as("ann", "#/chat", async (right) => {
      await field(left).fill("count");
      await field(left).press("Enter");
      await left.waitForURL(/#\/chat\/s-/);
      await right.locator(".groups .group", { hasText: "count" }).click();
      await left.locator(".writing", { hasText: "One two three." }).waitFor();
      await right.locator(".person", { hasText: "count" }).waitFor();
      held.release();
      for (const page of [left, right]) {
        await talk(page).locator(".answer:not(.writing)", { hasText: "One two three. Four five six." }).waitFor();
        await page.locator(".writing").waitFor({ state: "detached" });
      }
      held = gate();
      await field(right).fill("count again");
      await field(right).press("Enter");
      for (const page of [left, right]) await page.locator(".writing", { hasText: "One two three." }).waitFor();
      held.release();
      for (const page of [left, right]) await until("both answers are there", async () => (await talk(page).locator(".answer:not(.writing)").count()) === 2);
      const [ours, theirs] = await Promise.all([left, right].map((page) => talk(page).locator(".plain-words, .words").allInnerTexts()));
      assert.deepEqual(ours, theirs);
      assert.equal(ours.length, 4);
    }),
  );
});

test("a gateway that dies in the middle of an answer is waited for, and the answer comes whole and once", () => {
  held = gate();
  return as("ann", "#/chat/new", async (page) => {
    await field(page).fill("count");
    await field(page).press("Enter");
    await page.locator(".writing", { hasText: "One two three." }).waitFor();
    await all.fleet.gateway.down();
    await page.locator(".away-bar.shown").waitFor();
    await page.shot("chat-away");
    await page.locator(".writing", { hasText: "One two three." }).waitFor();
    await all.fleet.gateway.up();
    await page.locator(".away-bar.shown").waitFor({ state: "detached" });
    held.release();
    await talk(page).locator(".answer:not(.writing)", { hasText: "One two three. Four five six." }).waitFor();
    await page.locator(".writing").waitFor({ state: "detached" });
    assert.equal(await talk(page).locator(".answer").count(), 1);
  });
});

test("what was said while a page heard nothing is there when it hears again", async () => {
  const id = await all.fleet.begin("ann", "hello");
  await as("ann", `#/chat/${id}`, async (page) => {
    await talk(page).getByText("You said: hello").waitFor();
    await page.route(/\/events$/, (route) => route.abort());
    await all.fleet.gateway.down();
    await all.fleet.gateway.up();
    await all.fleet.as("ann", "POST", `api/v1/sessions/${id}/messages`, { text: "are you there" });
    await until("it is answered", async () => (await all.fleet.as("ann", "GET", `api/v1/sessions/${id}`)).head === 4);
    assert.equal(await talk(page).getByText("You said: are you there").count(), 0);
    await page.unroute(/\/events$/);
    await talk(page).getByText("You said: are you there").waitFor();
    assert.equal(await talk(page).getByText("You said: hello").count(), 1);
  });
});

test("what waits for approval is there after a reload, and is decided in the conversation", async () => {
  const id = await all.fleet.begin("root", "announce it");
  await as("root", `#/chat/${id}`, async (page) => {
    await page.locator(".card").getByRole("button", { name: "Approve" }).waitFor();
    await page.reload();
    const card = page.locator(".card");
    await card.getByLabel("Comment").fill("go on");
    await page.shot("chat-decide");
    await card.getByRole("button", { name: "Approve" }).click();
    await card.getByText("Approved by root: go on").waitFor();
    await talk(page).getByText("It is announced.").waitFor();
    assert.equal(await page.locator(".card").count(), 1);
  });
});

test("what was rejected is told to the agent, with the reason", async () => {
  const id = await all.fleet.begin("root", "announce it");
  await as("root", `#/chat/${id}`, async (page) => {
    const card = page.locator(".card");
    await card.getByLabel("Comment").fill("not on a Friday");
    await card.getByRole("button", { name: "Reject" }).click();
    await card.getByText("Rejected by root: not on a Friday").waitFor();
    await page.locator(".step .result", { hasText: "not on a Friday" }).waitFor();
    await page.shot("chat-rejected");
  });
});

test("an operation that is not what was shown is not approved, and its card says so", async () => {
  const id = await all.fleet.begin("ann", "announce it");
  const operation = await all.fleet.waiting(id);
  await as("dave", "#/approvals", async (page) => {
    const card = page.locator(".card", { hasText: "asked for by ann" });
    await card.getByText(operation.hash).waitFor();
    // The page hears nothing of the change by itself.
    await page.route(/\/approvals\?/, () => undefined);
    all.fleet.gateway.alter(operation.id, { summary: "call something else", hash: "f".repeat(64) });
    await card.getByRole("button", { name: "Approve" }).click();
    await card.getByRole("alert").getByText("look at it again").waitFor();
    await card.getByRole("alert").getByText("This is not what it was").waitFor();
    await card.locator(".card-hash", { hasText: "f".repeat(64) }).waitFor();
    await card.getByRole("heading", { name: "call something else" }).waitFor();
    await page.shot("approval-changed");
    const { phase } = await all.fleet.as("dave", "GET", `api/v1/approvals/${operation.id}`);
    assert.equal(phase, "waiting");
  });
  await as("ann", `#/chat/${id}`, async (page) => {
    await page.getByRole("button", { name: "Cancel this turn" }).click();
    await page.locator(".notice", { hasText: "cancelled" }).waitFor();
    await act(page, "Delete…");
    await page.getByRole("button", { name: "Delete the conversation" }).click();
    await page.getByRole("heading", { name: "New conversation" }).waitFor();
  });
});
