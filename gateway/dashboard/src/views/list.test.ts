import { expect, test } from "vitest";
import type { Summary } from "../api";
import { append, EMPTY, merge } from "./list";

/** Envelopes by age: smaller numbers are older. */
const page = (ids: number[], next: string | null, status = "running") => ({
  envelopes: ids.map((n) => ({ id: `e${n}`, created: new Date(n * 1000).toISOString(), status }) as Summary),
  next,
});
const ids = (list: { items: Summary[] }) => list.items.map(({ id }) => id).join(" ");

test("new ones come on top and further pages stay", () => {
  let list = merge(EMPTY, page([5, 4, 3], "p2"), false);
  list = append(list, page([2, 1], null));
  list = merge(list, page([7, 6, 5], "x"), false);
  expect(ids(list)).toBe("e7 e6 e5 e4 e3 e2 e1");
  expect(list.next).toBeNull();
});

test("rows that left the filter vanish from where the first page looks", () => {
  const list = merge(append(merge(EMPTY, page([5, 4, 3], "p2"), false), page([2, 1], null)), page([5, 3, 2], "x"), false);
  expect(ids(list)).toBe("e5 e3 e2 e1");
});

test("rows keep their places while somebody reads further down", () => {
  const list = merge(merge(EMPTY, page([5, 4], null), false), page([6, 5, 4], null, "succeeded"), true);
  expect(ids(list)).toBe("e5 e4");
  expect(list.items[0]?.status).toBe("succeeded");
  expect(list.fresh.map(({ id }) => id)).toEqual(["e6"]);
});

test("more new ones than a page begin the list anew", () => {
  const list = merge(merge(EMPTY, page([2, 1], null), false), page([9, 8], "p2"), false);
  expect(ids(list)).toBe("e9 e8");
  expect(list.next).toBe("p2");
});
