// Where actors stand: layers from left to right along their routes, neighbours close to each other, routes that have
// nothing to do with each other below one another. The same actors always stand in the same places.

export interface Node {
  name: string;
  next: string[];
}

export interface Placed {
  name: string;
  x: number;
  y: number;
}

export interface Edge {
  from: string;
  to: string;
  /** Points on the way, ends included. */
  points: { x: number; y: number }[];
  /** It leads back to an earlier layer. */
  back: boolean;
}

export interface Layout {
  nodes: Placed[];
  edges: Edge[];
  width: number;
  height: number;
}

export const NODE_WIDTH = 196;
export const NODE_HEIGHT = 66;
const GAP_X = 76;
const GAP_Y = 22;
/** Between routes that do not touch. */
const GAP_ROUTES = 34;
const SWEEPS = 6;
/** Columns and rows are balanced so that the whole is about as wide as a screen is. */
const ASPECT = 1.7;
/** Widths that are tried, as parts of the one that would fit without gaps. */
const PAGES = [0.8, 0.9, 1, 1.1, 1.2, 1.35, 1.5];

interface Vertex {
  name: string | null;
  layer: number;
  order: number;
  y: number;
  in: Vertex[];
  out: Vertex[];
}

export function layout(actors: Node[]): Layout {
  const known = new Map(actors.map((actor) => [actor.name, actor]));
  const out = new Map<string, string[]>();
  for (const { name, next } of actors) {
    out.set(name, [...new Set(next)].filter((to) => known.has(to) && to !== name));
  }
  const loops = actors.filter(({ name, next }) => next.includes(name)).map(({ name }) => name);

  const blocks: Layout[] = [];
  const single: string[] = [];
  for (const names of components([...out.keys()].sort(), out)) {
    if (names.length === 1) single.push(names[0] as string);
    else blocks.push(component(names, out));
  }
  // Big routes first; equal ones by name, as they came.
  blocks.sort((a, b) => b.nodes.length - a.nodes.length);
  if (single.length > 0) blocks.push(grid(single));
  const packed = pack(blocks);
  for (const name of loops) {
    const at = packed.nodes.find((node) => node.name === name);
    if (at) packed.edges.push({ from: name, to: name, back: true, points: loopOf(at) });
  }
  return packed;
}

function loopOf({ x, y }: Placed): { x: number; y: number }[] {
  return [
    { x: x + NODE_WIDTH, y: y + NODE_HEIGHT / 2 },
    { x, y: y + NODE_HEIGHT / 2 },
  ];
}

/** Groups that are connected, ignoring directions; each in the order of names. */
function components(names: string[], out: Map<string, string[]>): string[][] {
  const beside = new Map(names.map((name) => [name, new Set<string>()]));
  for (const [from, tos] of out) {
    for (const to of tos) {
      beside.get(from)?.add(to);
      beside.get(to)?.add(from);
    }
  }
  const seen = new Set<string>();
  const groups: string[][] = [];
  for (const name of names) {
    if (seen.has(name)) continue;
    seen.add(name);
    const group = [name];
    for (const member of group) {
      for (const other of beside.get(member) ?? []) {
        if (!seen.has(other)) {
          seen.add(other);
          group.push(other);
        }
      }
    }
    groups.push(group.sort());
  }
  return groups;
}

/** Edges that close a cycle when everything is walked depth first from the sources. */
function backEdges(names: string[], out: Map<string, string[]>): Set<string> {
  const entered = new Map<string, number>(names.map((name) => [name, 0]));
  for (const name of names) for (const to of out.get(name) ?? []) entered.set(to, (entered.get(to) ?? 0) + 1);
  // Where everything is on a cycle, the one that gives more than it gets is the likely beginning.
  const gain = (name: string): number => (out.get(name)?.length ?? 0) - (entered.get(name) ?? 0);
  const roots = [...names].sort((a, b) => Math.min(entered.get(a) ?? 0, 1) - Math.min(entered.get(b) ?? 0, 1) || gain(b) - gain(a));
  const back = new Set<string>();
  const state = new Map<string, "open" | "done">();
  for (const root of roots) {
    if (state.has(root)) continue;
    const stack: { name: string; at: number }[] = [{ name: root, at: 0 }];
    state.set(root, "open");
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as { name: string; at: number };
      const to = (out.get(top.name) ?? [])[top.at++];
      if (to === undefined) {
        state.set(top.name, "done");
        stack.pop();
      } else if (state.get(to) === "open") {
        back.add(`${top.name}\n${to}`);
      } else if (!state.has(to)) {
        state.set(to, "open");
        stack.push({ name: to, at: 0 });
      }
    }
  }
  return back;
}

/** Longest path from a source, so that every edge leads to the right. */
function layersOf(names: string[], out: Map<string, string[]>): Map<string, number> {
  const waiting = new Map<string, number>(names.map((name) => [name, 0]));
  for (const name of names) for (const to of out.get(name) ?? []) waiting.set(to, (waiting.get(to) ?? 0) + 1);
  const layers = new Map<string, number>();
  const ready = names.filter((name) => waiting.get(name) === 0);
  for (const name of ready) layers.set(name, 0);
  for (const name of ready) {
    for (const to of out.get(name) ?? []) {
      layers.set(to, Math.max(layers.get(to) ?? 0, (layers.get(name) ?? 0) + 1));
      const left = (waiting.get(to) ?? 1) - 1;
      waiting.set(to, left);
      if (left === 0) ready.push(to);
    }
  }
  return layers;
}

function component(names: string[], all: Map<string, string[]>): Layout {
  const back = backEdges(names, all);
  const out = new Map(
    names.map((name) => [name, (all.get(name) ?? []).filter((to) => !back.has(`${name}\n${to}`))]),
  );
  const layers = layersOf(names, out);
  const vertices = new Map<string, Vertex>();
  const rows: Vertex[][] = [];
  const add = (name: string | null, layer: number): Vertex => {
    const row = (rows[layer] ??= []);
    const vertex: Vertex = { name, layer, order: row.length, y: 0, in: [], out: [] };
    row.push(vertex);
    return vertex;
  };
  for (const name of names) vertices.set(name, add(name, layers.get(name) ?? 0));
  // An edge over several layers gets an empty vertex in each, which keeps a lane free for it.
  const ways: { from: string; to: string; way: Vertex[] }[] = [];
  for (const from of names) {
    for (const to of out.get(from) ?? []) {
      const [start, end] = [vertices.get(from) as Vertex, vertices.get(to) as Vertex];
      const way = [start];
      for (let layer = start.layer + 1; layer < end.layer; layer++) way.push(add(null, layer));
      way.push(end);
      way.reduce((a, b) => {
        a.out.push(b);
        b.in.push(a);
        return b;
      });
      ways.push({ from, to, way });
    }
  }
  order(rows);
  place(rows);

  const xOf = (layer: number): number => layer * (NODE_WIDTH + GAP_X);
  const nodes = names.map((name): Placed => {
    const vertex = vertices.get(name) as Vertex;
    return { name, x: xOf(vertex.layer), y: vertex.y };
  });
  const middle = (vertex: Vertex): number => vertex.y + NODE_HEIGHT / 2;
  const edges = ways.map(({ from, to, way }): Edge => {
    const points = way.flatMap((vertex, index) => {
      const x = xOf(vertex.layer);
      if (index === 0) return [{ x: x + NODE_WIDTH, y: middle(vertex) }];
      if (index === way.length - 1) return [{ x, y: middle(vertex) }];
      return [
        { x, y: middle(vertex) },
        { x: x + NODE_WIDTH, y: middle(vertex) },
      ];
    });
    return { from, to, points, back: false };
  });
  for (const pair of back) {
    const [from = "", to = ""] = pair.split("\n");
    const [a, b] = [vertices.get(from) as Vertex, vertices.get(to) as Vertex];
    edges.push({
      from,
      to,
      back: true,
      points: [
        { x: xOf(a.layer) + NODE_WIDTH, y: middle(a) },
        { x: xOf(b.layer), y: middle(b) },
      ],
    });
  }
  const height = Math.max(...nodes.map(({ y }) => y)) + NODE_HEIGHT;
  return { nodes, edges, width: xOf(rows.length - 1) + NODE_WIDTH, height };
}

/** Fewer crossings: each vertex moves to the mean of its neighbours, sweep by sweep in both directions. */
function order(rows: Vertex[][]): void {
  const sort = (row: Vertex[], side: "in" | "out"): void => {
    const mean = new Map(
      row.map((vertex) => {
        const beside = vertex[side];
        const sum = beside.reduce((total, other) => total + other.order, 0);
        return [vertex, beside.length > 0 ? sum / beside.length : vertex.order];
      }),
    );
    row.sort((a, b) => (mean.get(a) ?? 0) - (mean.get(b) ?? 0) || a.order - b.order);
    row.forEach((vertex, index) => (vertex.order = index));
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const row of rows.slice(1)) sort(row, "in");
    for (const row of rows.slice(0, -1).reverse()) sort(row, "out");
  }
}

/** Heights: as close to the mean of the neighbours as the order and the gaps allow. */
function place(rows: Vertex[][]): void {
  const step = (vertex: Vertex): number => (vertex.name === null ? NODE_HEIGHT / 2 : NODE_HEIGHT) + GAP_Y;
  for (const row of rows) {
    let y = 0;
    for (const vertex of row) {
      vertex.y = y;
      y += step(vertex);
    }
  }
  const settle = (row: Vertex[], side: "in" | "out" | "both"): void => {
    const wanted = row.map((vertex) => {
      const beside = side === "both" ? [...vertex.in, ...vertex.out] : vertex[side];
      return beside.length > 0 ? beside.reduce((sum, other) => sum + other.y, 0) / beside.length : vertex.y;
    });
    // Blocks of vertices that touch move together to the mean of what they want.
    const blocks: { want: number; size: number; members: Vertex[]; height: number }[] = [];
    row.forEach((vertex, index) => {
      let block = { want: wanted[index] ?? 0, size: 1, members: [vertex], height: step(vertex) };
      for (;;) {
        const before = blocks[blocks.length - 1];
        if (!before || before.want + before.height <= block.want) break;
        blocks.pop();
        const size = before.size + block.size;
        block = {
          want: (before.want * before.size + (block.want - before.height) * block.size) / size,
          size,
          members: [...before.members, ...block.members],
          height: before.height + block.height,
        };
      }
      blocks.push(block);
    });
    for (const block of blocks) {
      let y = block.want;
      for (const vertex of block.members) {
        vertex.y = y;
        y += step(vertex);
      }
    }
  };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const row of rows.slice(1)) settle(row, "in");
    for (const row of rows.slice(0, -1).reverse()) settle(row, "out");
  }
  for (const row of rows) settle(row, "both");
  const top = Math.min(...rows.flat().map(({ y }) => y));
  for (const vertex of rows.flat()) vertex.y = Math.round(vertex.y - top);
}

/** Actors without a route, in a block. */
function grid(names: string[]): Layout {
  const columns = Math.max(1, Math.ceil(Math.sqrt((names.length * ASPECT * NODE_HEIGHT) / NODE_WIDTH)));
  const nodes = names.map((name, index): Placed => {
    const [column, row] = [index % columns, Math.floor(index / columns)];
    return { name, x: column * (NODE_WIDTH + GAP_Y), y: row * (NODE_HEIGHT + GAP_Y) };
  });
  const rows = Math.ceil(names.length / columns);
  return {
    nodes,
    edges: [],
    width: Math.min(columns, names.length) * (NODE_WIDTH + GAP_Y) - GAP_Y,
    height: rows * (NODE_HEIGHT + GAP_Y) - GAP_Y,
  };
}

/** Blocks in rows, like words on a page: of some widths the page that is shown largest on a screen. */
function pack(blocks: Layout[]): Layout {
  const area = blocks.reduce((sum, { width, height }) => sum + (width + GAP_X) * (height + GAP_ROUTES), 0);
  const widest = Math.max(0, ...blocks.map(({ width }) => width));
  const size = ({ width, height }: Layout): number => Math.max(width, height * ASPECT);
  const pages = PAGES.map((part) => pageOf(blocks, Math.max(Math.sqrt(area * ASPECT) * part, widest)));
  return pages.reduce((best, page) => (size(page) < size(best) ? page : best));
}

function pageOf(blocks: Layout[], page: number): Layout {
  const whole: Layout = { nodes: [], edges: [], width: 0, height: 0 };
  let [x, y, tallest] = [0, 0, 0];
  for (const block of blocks) {
    if (x > 0 && x + block.width > page) {
      y += tallest + GAP_ROUTES;
      [x, tallest] = [0, 0];
    }
    const [dx, dy] = [x, y];
    for (const node of block.nodes) whole.nodes.push({ ...node, x: node.x + dx, y: node.y + dy });
    for (const edge of block.edges) {
      whole.edges.push({ ...edge, points: edge.points.map((point) => ({ x: point.x + dx, y: point.y + dy })) });
    }
    tallest = Math.max(tallest, block.height);
    whole.width = Math.max(whole.width, dx + block.width);
    whole.height = Math.max(whole.height, dy + block.height);
    x += block.width + GAP_X;
  }
  return whole;
}

/** An SVG path through the points: level where it meets an actor. */
export function pathOf(edge: Edge): string {
  const [start, ...rest] = edge.points;
  if (!start) return "";
  if (edge.back) {
    const end = rest[rest.length - 1] ?? start;
    const below = Math.max(start.y, end.y) + NODE_HEIGHT * 0.5 + 14;
    return (
      `M${start.x} ${start.y}C${start.x + 44} ${start.y} ${start.x + 44} ${below} ${start.x - 6} ${below}` +
      `L${end.x + 6} ${below}C${end.x - 44} ${below} ${end.x - 44} ${end.y} ${end.x} ${end.y}`
    );
  }
  let path = `M${start.x} ${start.y}`;
  let last = start;
  for (const point of rest) {
    const bend = (point.x - last.x) / 2;
    path += `C${last.x + bend} ${last.y} ${point.x - bend} ${point.y} ${point.x} ${point.y}`;
    last = point;
  }
  return path;
}
