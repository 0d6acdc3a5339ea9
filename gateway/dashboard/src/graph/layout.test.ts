import { expect, test } from "vitest";
import { layout, NODE_HEIGHT, NODE_WIDTH, type Node } from "./layout";

const routes = (...all: string[]): Node[] => {
  const next = new Map<string, Set<string>>();
  for (const route of all) {
    const actors = route.split(" ");
    actors.forEach((actor, index) => {
      const to = next.get(actor) ?? new Set<string>();
      const after = actors[index + 1];
      if (after) to.add(after);
      next.set(actor, to);
    });
  }
  return [...next].map(([name, to]) => ({ name, next: [...to] }));
};

const many = (count: number): Node[] =>
  Array.from({ length: count }, (_, index) => ({
    name: `actor-${index}`,
    // Forks, joins and some ways back.
    next: [index + 1, index + 3, ...(index % 17 === 0 ? [index - 5] : [])]
      .filter((to) => to >= 0 && to < count && Math.floor(to / 25) === Math.floor(index / 25))
      .map((to) => `actor-${to}`),
  }));

test("routes lead from left to right", () => {
  const { nodes } = layout(routes("split ocr embed index", "split classify index"));
  const x = Object.fromEntries(nodes.map((node) => [node.name, node.x]));
  expect(x["split"]).toBeLessThan(x["ocr"] as number);
  expect(x["classify"]).toBeLessThan(x["index"] as number);
  expect(x["embed"]).toBeLessThan(x["index"] as number);
});

test("a loop ends and leads back from where the route came to", () => {
  const { nodes, edges } = layout(routes("a b c a", "d d"));
  expect(nodes).toHaveLength(4);
  expect(edges.filter(({ back }) => back).map(({ from, to }) => `${from}>${to}`)).toEqual(["c>a", "d>d"]);
});

test("no two actors overlap, with five hundred of them", () => {
  const { nodes, width, height } = layout(many(500));
  expect(nodes).toHaveLength(500);
  for (const [index, a] of nodes.entries()) {
    expect(a.x >= 0 && a.y >= 0 && a.x + NODE_WIDTH <= width && a.y + NODE_HEIGHT <= height).toBe(true);
    for (const b of nodes.slice(index + 1)) {
      const apart = Math.abs(a.x - b.x) >= NODE_WIDTH || Math.abs(a.y - b.y) >= NODE_HEIGHT;
      if (!apart) throw new Error(`${a.name} and ${b.name} overlap`);
    }
  }
});

test("the same actors stand in the same places, in whatever order they come", () => {
  const actors = many(60);
  const sorted = ({ nodes }: ReturnType<typeof layout>) => [...nodes].sort((a, b) => a.name.localeCompare(b.name));
  expect(sorted(layout([...actors].reverse()))).toEqual(sorted(layout(actors)));
});

test("a route to an actor that is not shown is left out", () => {
  expect(layout([{ name: "a", next: ["gone"] }]).edges).toEqual([]);
});
