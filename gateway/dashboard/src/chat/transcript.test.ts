import { expect, test } from "vitest";
import type { Entry, Operation } from "./api";
import { NOTHING, happened, items, sentences, type Transcript } from "./transcript";

const hear = (before: Transcript, ...events: [string, unknown][]): Transcript =>
  events.reduce((so, [event, data]) => happened(so, event, JSON.stringify(data)), before);
const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
const user = (n: number): Entry => ({ kind: "user", n, at: at(n), by: "ann", text: `question ${n}` });
const answer = (n: number, text: string, ...calls: string[]): Entry => ({
  kind: "assistant",
  n,
  at: at(n),
  model: "a/b",
  text,
  calls: calls.map((id) => ({ id, name: "look", arguments: {} })),
});
const result = (n: number, call: string): Entry => ({ kind: "tool", n, at: at(n), call, name: "look", text: `found ${n}` });
const delta = (n: number, offset: number, text: string): [string, unknown] => ["delta", { n, offset, text }];
const operation = (id: string, call: string, created: string, phase: Operation["phase"] = "waiting"): Operation =>
  ({ id, call, created, phase, hash: "h", summary: id }) as Operation;

test("pieces follow on each other by bytes, and repeats of any cut change nothing", () => {
  let now = hear(NOTHING, ["entry", user(1)], delta(2, 0, "grün "), delta(2, 6, "und 🌿"));
  expect(now.writing).toMatchObject({ text: "grün und 🌿", bytes: 14 });
  for (const again of [delta(2, 0, "grün "), delta(2, 6, "und"), delta(2, 0, "grün und 🌿")]) {
    expect(hear(now, again).writing).toEqual(now.writing);
  }
  now = hear(now, delta(2, 10, "🌿 blüht"));
  expect(now.writing?.text).toBe("grün und 🌿 blüht");
});

test("a piece that does not fit is left to the entry, which takes the place of all pieces", () => {
  const missed = hear(NOTHING, ["entry", user(1)], delta(2, 0, "one "), delta(2, 9, "three"));
  expect(missed.writing).toEqual({ n: 2, text: "one ", bytes: 4, missed: true });
  // Half a character is no text.
  expect(hear(NOTHING, delta(1, 0, "ü"), delta(1, 1, "x")).writing?.text).toBe("ü");
  const whole = hear(missed, ["entry", answer(2, "one two three")]);
  expect(whole.writing).toBeNull();
  expect(hear(whole, delta(2, 0, "one"), delta(1, 0, "late")).writing).toBeNull();
  expect(hear(whole, delta(3, 7, "of the next")).writing).toEqual({ n: 3, text: "", bytes: 0, missed: true });
});

test("where the model begins again, what it says now counts", () => {
  const now = hear(NOTHING, delta(1, 0, "The shop is slow"), delta(1, 0, "It is"), delta(1, 5, " fine"));
  expect(now.writing?.text).toBe("It is fine");
});

test("entries come once, in order, and a piece of a later one stays", () => {
  const now = hear(NOTHING, ["entry", user(1)], delta(3, 0, "soon"), ["entry", answer(2, "x")], ["entry", user(1)], ["entry", answer(2, "y")]);
  expect(now.entries.map(({ n }) => n)).toEqual([1, 2]);
  expect(now.writing?.text).toBe("soon");
});

test("an operation goes on and never back, and unknown events change nothing", () => {
  const done = operation("op-1", "c", at(1), "approved");
  const now = hear(NOTHING, ["operation", done], ["operation", operation("op-1", "c", at(1))]);
  expect(now.operations.get("op-1")?.phase).toBe("approved");
  expect(happened(now, "slow", "take your time")).toBe(now);
});

test("results and operations stand at their calls, also where a model uses an id again", () => {
  const entries = [user(1), answer(2, "", "c"), result(3, "c"), user(4), answer(5, "", "c", "d"), result(6, "c"), result(7, "lost")];
  const shown = items(entries, [operation("second", "c", at(5.5)), operation("first", "c", at(2.5)), operation("loose", "x", at(1))]);
  expect(shown.map(({ kind }) => kind)).toEqual(["said", "answer", "said", "answer", "result", "operation"]);
  const steps = shown.flatMap((item) => (item.kind === "answer" ? item.steps : []));
  expect(steps.map(({ result, operations }) => [result?.n, ...operations.map(({ id }) => id)])).toEqual([
    [3, "first"],
    [6, "second"],
    [undefined],
  ]);
});

test("what is read aloud ends with a sentence", () => {
  const text = "It waits. See 1.5 of it:\n- one\n- tw";
  expect(text.slice(0, sentences(text, 0))).toBe("It waits. See 1.5 of it:\n- one\n");
  expect(sentences(text, 31)).toBe(31);
});
