import { expect, test } from "vitest";
import type { Operation, Phase } from "../chat/api";
import { merged } from "./approvals";

const operation = (id: string, phase: Phase = "waiting"): Operation => ({ id, phase, hash: id }) as Operation;

test("new ones come in above, known ones stay the same objects, and what waits no more is looked at", () => {
  const [a, b, c] = [operation("a"), operation("b"), operation("c", "approved")];
  const { all, gone } = merged([a, b, c], [operation("d"), operation("a")]);
  expect(all.map(({ id }) => id)).toEqual(["d", "a", "b", "c"]);
  expect(all[1]).toBe(a);
  expect(gone).toEqual(["b"]);
});

test("nothing is asked for twice once it is known how it ended", () => {
  expect(merged([operation("a", "rejected")], []).gone).toEqual([]);
});
