// People in conversations with a scripted agent: its processes, a browser, and what tests do in a page.

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { Fleet, Model, token } from "./agents.mjs";
import { browser, open } from "./world.mjs";

export const PHONE = { width: 390, height: 844, hasTouch: true, isMobile: true };

/** What the tests of a file share, once they run; `play` says what the model does. */
export function stage(play) {
  const all = {};
  before(async () => {
    all.model = await Model.start((messages) => play(messages, all.model.host));
    all.fleet = await Fleet.start(all.model);
    all.chrome = await browser();
  });
  after(async () => {
    await all.chrome?.close();
    await all.fleet?.end();
    all.model?.end();
  });
  /** A page in the hands of `who`; whatever went wrong in it fails the test. */
  all.as = async (who, path, does, options = {}) => {
    const page = await open(all.chrome, all.fleet, { path, ...options });
    try {
      await page.evaluate((value) => sessionStorage.setItem("asya.token", value), token(who));
      await page.reload();
      await does(page);
      assert.deepEqual(page.faults, []);
    } catch (error) {
      await page.shot("failed");
      throw new Error(`at ${page.url()}, as failed.png shows`, { cause: error });
    } finally {
      await page.context().close();
    }
  };
  return all;
}

/** Something that a model waits for, until a test lets it go on. */
export function gate() {
  const gate = {};
  gate.open = new Promise((resolve) => (gate.release = resolve));
  return gate;
}

/** What stands in the conversation; it is also told to who listens. */
export const talk = (page) => page.getByRole("region", { name: "What was said" });
export const field = (page) => page.getByRole("textbox", { name: "Message" });
/** The conversation that is open. */
export const session = (page) => decodeURIComponent(page.url().split("#/chat/")[1].split("?")[0]);

/** Chooses one of the actions on the conversation. */
export async function act(page, name) {
  await page.getByRole("button", { name: "Actions on this conversation" }).click();
  await page.getByRole("button", { name }).click();
}

/** Nothing reaches beyond the screen's sides, and of these every one is on it whole. */
export async function fits(page, ...names) {
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "the page is wider than the screen");
  for (const name of names) {
    for (const one of await page.locator(name).all()) {
      const box = await one.boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= page.viewportSize().width, `${name} at ${JSON.stringify(box)}`);
    }
  }
}
