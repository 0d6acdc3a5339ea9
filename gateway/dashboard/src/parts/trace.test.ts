import { expect, test } from "vitest";
import type { Envelope, Hop } from "../api";
import { lines } from "./trace";

const at = (ms: number): string => new Date(ms).toISOString();
const hop = (actor: string, current: number | undefined, from: number, to: number): Hop =>
  ({ actor, current, started_at: at(from), ended_at: at(to), duration_ms: to - from, attempts: 1, status: "completed" }) as Hop;
const envelope = (status: string, actors: string[], hops: Hop[]): Envelope =>
  ({ status, actors, hops, created: at(0), updated: at(100), ended: status === "running" ? undefined : at(100) }) as Envelope;
const shown = (one: Envelope): (string | number)[][] => lines(one, 80).lines.map(({ actor, hop, from, to }) => (hop ? [actor, from, to] : [actor]));

test("an actor whose report is missing stands at its place", () => {
  const hops = [hop("a", 0, 10, 20), hop("c", 2, 50, 60)];
  expect(shown(envelope("succeeded", ["a", "b", "c", "d"], hops))).toEqual([["a", 10, 20], ["b"], ["c", 50, 60], ["d"]]);
  expect(shown(envelope("failed", ["a", "b", "c", "d"], hops))).toEqual([["a", 10, 20], ["b"], ["c", 50, 60]]);
});

test("a hop that the route does not have any more comes where it happened", () => {
  const hops = [hop("a", 0, 10, 20), hop("old", 1, 30, 40), hop("x", undefined, 45, 46), hop("b", 1, 50, 60)];
  expect(shown(envelope("running", ["a", "b"], hops))).toEqual([["a", 10, 20], ["old", 30, 40], ["x", 45, 46], ["b", 50, 60]]);
});

test("the same actor twice in a route has two lines", () => {
  const hops = [hop("a", 0, 10, 20), hop("a", 2, 50, 60)];
  expect(shown(envelope("succeeded", ["a", "b", "a"], hops)).map(([actor]) => actor)).toEqual(["a", "b", "a"]);
});

test("a hop that was reported after the end has its place and fits on the scale", () => {
  const hops = [hop("a", 0, 10, 20), hop("b", 1, 105, 130)];
  const one = envelope("succeeded", ["a", "b"], hops);
  expect(shown(one)).toEqual([["a", 10, 20], ["b", 105, 130]]);
  expect(lines(one, 100).total).toBe(130);
});
