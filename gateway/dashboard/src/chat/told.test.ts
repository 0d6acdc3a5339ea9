import { expect, test } from "vitest";
import type { Operation, Phase } from "./api";
import { left, names, review, short, spoken, verdict, whole } from "./told";

const operation = (more: Partial<Operation>): Operation => ({ phase: "waiting", ...more }) as Operation;

test("what is done is shown where the diff does not show all of it", () => {
  expect(whole(operation({}))).toBe(true);
  expect(whole(operation({ diff: "-a\n+b" }))).toBe(false);
  expect(whole(operation({ diff: "-password: ***" }))).toBe(true);
});

test("a review is told as it was given, and a no stands out", () => {
  expect(review(operation({}))).toEqual([]);
  expect(review(operation({ review: { person: null, tool: true, reason: "" } }))).toEqual([{ text: "The cluster says: the tool may.", bad: false }]);
  const told = review(operation({ review: { person: true, tool: false, reason: "no rule" }, four_eyes: true }));
  expect(told[0]).toEqual({ text: "The cluster says: the person may, the tool may NOT (no rule).", bad: true });
  expect(told[1]?.text).toMatch(/else than who asked/);
});

test("the time left to decide", () => {
  expect(left(new Date(90_000).toISOString(), 0)).toBe("1 min 30 s left to decide");
  expect(left(new Date(0).toISOString(), 0)).toBe("the time to decide is over");
});

test("each phase says what became of it, and by whom", () => {
  const decision = { verdict: "approve" as const, by: "carol", comment: "before the sale", at: "" };
  const said = (phase: Phase, more: Partial<Operation> = {}): string => verdict(operation({ phase, decision, ...more }));
  expect(said("rejected")).toBe("Rejected by carol: before the sale");
  expect(said("approved")).toBe("Approved by carol: before the sale");
  expect(said("done", { outcome: { ok: false, text: "" } })).toMatch(/It failed$/);
  expect(verdict(operation({ phase: "expired", decision: { ...decision, by: "", comment: "" } }))).toMatch(/in time/);
});

test("names and short values", () => {
  expect(names(" ann, oidc:7\nann  bob,")).toEqual(["ann", "oidc:7", "bob"]);
  expect(short({ a: "x\ny" })).toBe('{"a":"x\\ny"}');
  expect(short("a\n  b", 3)).toBe("a b");
  expect(short("abcdef", 4)).toBe("abc…");
});

test("what is read aloud has no marks", () => {
  expect(spoken("## Slow\n\n- Two of **three** in `shop`\n| a | b |\n|---|:-:|\n| 1 | 2 |")).toBe("Slow Two of three in shop a b 1 2");
});
