import { expect, test } from "vitest";
import type { Entry, Operation } from "./api";
import { aloud, state } from "./items";
import type { Step } from "./transcript";

const step = (more: Partial<Step>): Step => ({ call: { id: "c", name: "look", arguments: {} }, operations: [], result: null, ...more });
const waits = { phase: "waiting" } as Operation;
const result = (failed: boolean): Step["result"] => ({ kind: "tool", n: 3, at: "", call: "c", name: "look", text: "", failed });

test("a step is as its answer, its approval and its turn are", () => {
  expect(state(step({ result: result(true) }), true)).toBe("failed");
  expect(state(step({ result: result(false), operations: [waits] }), true)).toBe("succeeded");
  expect(state(step({ operations: [waits] }), true)).toBe("pending");
  expect(state(step({}), true)).toBe("running");
  expect(state(step({}), false)).toBe("");
});

test("answers, calls, failures and notices are read aloud, what one typed is not", () => {
  const all: Entry[] = [
    { kind: "user", n: 1, at: "", by: "ann", text: "hello" },
    { kind: "assistant", n: 2, at: "", model: "m", text: "Well.", calls: [{ id: "c", name: "look", arguments: {} }] },
    { kind: "tool", n: 3, at: "", call: "c", name: "look", text: "much" },
    { kind: "tool", n: 4, at: "", call: "c", name: "look", text: "no", failed: true },
    { kind: "notice", n: 5, at: "", code: "cancelled", text: "Cancelled." },
  ];
  expect(all.map(aloud)).toEqual(["", "Well. Calls look.", "", "look failed.", "Cancelled."]);
});
