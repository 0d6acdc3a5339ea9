import { expect, test } from "vitest";
import { ails, distinct, replicas } from "./actors";
import type { Actor } from "./api";

const actor = (more: Partial<Actor>): Actor => ({ name: "ocr", queue: "asya-ocr", transport: "rabbitmq", next: [], ...more });

test("actors of one name are told apart by their namespaces, the first one is not", () => {
  const { actors } = distinct({ actors: [actor({ namespace: "team" }), actor({ namespace: "b" }), actor({ name: "mail", namespace: "b" })] });
  expect(actors.map(({ name }) => name)).toEqual(["ocr", "b/ocr", "mail"]);
});

test("an actor that sleeps is well, one that cannot reach its broker is not", () => {
  const words = ["Napping", "Running", "Paused", "ScalingUp", undefined];
  expect(words.filter((status) => ails(actor(status ? { status } : {})))).toEqual([]);
  const bad = ["TransportError", "Degraded", "PendingResources", "failing"];
  expect(bad.filter((status) => ails(actor({ status })))).toEqual(bad);
});

test("replicas are told with their limits", () => {
  expect(replicas(actor({}))).toBeUndefined();
  expect(replicas(actor({ ready: 1, desired: 3 }))).toBe("1 of 3");
  expect(replicas(actor({ desired: 2, min_replicas: 0, max_replicas: 9 }))).toBe("0 of 2, scaled 0 to 9");
});
