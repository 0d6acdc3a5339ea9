// The graph of actors: drawn once per change of the routes, numbers follow, zoom and pan touch one attribute only.

import { memo } from "../parts/memo";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { ails } from "../actors";
import type { Actor } from "../api";
import { count, rate } from "../format";
import { useKeys } from "../keys";
import { layout, NODE_HEIGHT, NODE_WIDTH, pathOf, type Layout, type Placed } from "./layout";
import { Camera } from "./camera";

/** Below this scale texts are blobs: names are left out, and colours speak. */
const FAR = 0.42;

/** What an actor's dot says. */
export function stateOf(actor: Actor): "ailing" | "dead" | "stuck" | "working" | "waiting" | "idle" | "unknown" {
  if (ails(actor)) return "ailing";
  if ((actor.dead ?? 0) > 0) return "dead";
  if ((actor.queued ?? 0) > 0 && actor.ready === 0 && (actor.desired ?? 0) > 0) return "stuck";
  if ((actor.in_flight ?? 0) > 0 || (actor.rate ?? 0) > 0) return "working";
  if ((actor.queued ?? 0) > 0) return "waiting";
  return actor.queued === undefined && actor.in_flight === undefined ? "unknown" : "idle";
}

const STATE_WORDS = {
  ailing: "does not work as it should",
  dead: "has dead letters",
  stuck: "starting, with work waiting",
  working: "working",
  waiting: "work is waiting",
  idle: "idle",
  unknown: "nothing is known of its queue",
};

interface Props {
  actors: Actor[];
  /** Names that fit the filter; their neighbours are shown faintly. `null`: no filter. */
  shown: Set<string> | null;
  chosen: string | null;
  onChoose: (name: string | null) => void;
}

export function Graph({ actors, shown, chosen, onChoose }: Props) {
  const visible = useMemo(() => {
    if (!shown) return actors;
    const near = new Set(shown);
    for (const { name, next } of actors) {
      for (const to of next) {
        if (shown.has(name)) near.add(to);
        if (shown.has(to)) near.add(name);
      }
    }
    return actors.filter(({ name }) => near.has(name));
  }, [actors, shown && [...shown].join("\n")]);
  const shape = visible.map(({ name, next }) => `${name}>${next.join(",")}`).join("\n");
  const placed = useMemo(() => layout(visible), [shape]);
  const byName = new Map(visible.map((actor) => [actor.name, actor]));

  const svg = useRef<SVGSVGElement>(null);
  const world = useRef<SVGGElement>(null);
  const camera = useRef<Camera | null>(null);
  const [focused, setFocused] = useState<string | null>(null);

  useLayoutEffect(() => {
    const [outer, inner] = [svg.current, world.current];
    if (!outer || !inner) return;
    const made = new Camera(outer, ({ x, y, scale }) => {
      inner.setAttribute("transform", `translate(${x} ${y}) scale(${scale})`);
      outer.classList.toggle("far", scale < FAR);
    });
    camera.current = made;
    return () => made.stop();
  }, []);
  useEffect(() => camera.current?.home(placed), [placed]);
  useEffect(() => {
    const node = placed.nodes.find(({ name }) => name === chosen);
    if (node) camera.current?.reveal(node);
  }, [chosen, placed]);

  useKeys([
    { keys: ["+", "="], what: "closer", run: () => camera.current?.zoom(1.3) },
    { keys: ["-"], what: "farther", run: () => camera.current?.zoom(1 / 1.3) },
    { keys: ["0"], what: "fit", run: () => camera.current?.fit() },
    { keys: ["Escape"], what: "nothing chosen", run: () => onChoose(null) },
  ]);

  const stop = focused && byName.has(focused) ? focused : (chosen ?? placed.nodes[0]?.name ?? null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const here = (event.target as Element).closest("[data-actor]")?.getAttribute("data-actor") ?? stop;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      onChoose(here);
      return;
    }
    const at = placed.nodes.find(({ name }) => name === here);
    const to = at && neighbour(placed, at, event.key);
    if (!to) return;
    event.preventDefault();
    setFocused(to.name);
    camera.current?.reveal(to);
    svg.current?.querySelector<SVGGElement>(`[data-actor="${CSS.escape(to.name)}"]`)?.focus({ preventScroll: true });
  };

  return (
    <div class="graph">
      <svg ref={svg} role="group" aria-label="Graph of actors. Arrow keys move between actors." onKeyDown={onKeyDown}>
        <defs>
          <marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
            <path d="M0 .8 7 4 0 7.2z" />
          </marker>
        </defs>
        <g ref={world}>
          <Edges placed={placed} live={live(visible)} chosen={chosen} />
          {placed.nodes.map((node) => {
            const actor = byName.get(node.name);
            return (
              actor && (
                <NodeBox
                  key={node.name}
                  {...node}
                  actor={actor}
                  faint={shown !== null && !shown.has(node.name)}
                  chosen={node.name === chosen}
                  stop={node.name === stop}
                  onChoose={onChoose}
                />
              )
            );
          })}
        </g>
      </svg>
      <div class="zoom" role="group" aria-label="Zoom">
        <button type="button" aria-label="Zoom in" title="Zoom in (+)" onClick={() => camera.current?.zoom(1.3)}>
          +
        </button>
        <button type="button" aria-label="Zoom out" title="Zoom out (-)" onClick={() => camera.current?.zoom(1 / 1.3)}>
          −
        </button>
        <button type="button" title="Fit (0)" onClick={() => camera.current?.fit()}>
          Fit
        </button>
      </div>
    </div>
  );
}

/** Names of actors that have something in hand, as one text: edges are drawn anew only when it changes. */
function live(actors: Actor[]): string {
  return actors
    .filter((actor) => stateOf(actor) === "working" || (actor.in_flight ?? 0) > 0)
    .map(({ name }) => name)
    .join("\n");
}

const Edges = memo(function Edges(props: { placed: Layout; live: string; chosen: string | null }) {
  const busy = new Set(props.live.split("\n"));
  return (
    <g class="edges" aria-hidden="true">
      {props.placed.edges.map((edge) => (
        <path
          key={`${edge.from}>${edge.to}`}
          d={pathOf(edge)}
          marker-end="url(#tip)"
          class={`${busy.has(edge.to) ? "live" : ""} ${edge.from === props.chosen || edge.to === props.chosen ? "near" : ""}`}
        />
      ))}
    </g>
  );
});

/** Characters of a name that fit into a box. */
const NAME_LENGTH = 23;
const cut = (name: string): string => (name.length <= NAME_LENGTH ? name : `${name.slice(0, NAME_LENGTH - 1)}…`);
/** A bar is full at this many messages, on a logarithmic scale. */
const FULL = 100_000;
const PAD = 13;

interface BoxProps extends Placed {
  actor: Actor;
  faint: boolean;
  chosen: boolean;
  stop: boolean;
  onChoose: (name: string) => void;
}

const NodeBox = memo(
  function NodeBox({ name, x, y, actor, faint, chosen, stop, onChoose }: BoxProps) {
    const state = stateOf(actor);
    const cells: [string, string][] = [];
    if (actor.queued !== undefined) cells.push([count(actor.queued), "queued"]);
    if (actor.in_flight !== undefined) cells.push([count(actor.in_flight), "in flight"]);
    if (actor.rate !== undefined) cells.push([rate(actor.rate), "rate"]);
    if (actor.ready !== undefined) cells.push([`${actor.ready}/${actor.desired ?? actor.ready}`, "replicas"]);
    const fill = Math.min(1, Math.log10(1 + (actor.queued ?? 0)) / Math.log10(FULL));
    const said = cells.map(([value, what]) => `${value} ${what}`).join(", ");
    return (
      <g
        class={`node ${state} ${faint ? "faint" : ""} ${chosen ? "chosen" : ""}`}
        transform={`translate(${x} ${y})`}
        style={{ "--load": `${Math.round(20 + 60 * fill)}%` }}
        data-actor={name}
        role="button"
        tabindex={stop ? 0 : -1}
        aria-pressed={chosen}
        aria-label={`${name}: ${[actor.status, STATE_WORDS[state], said].filter(Boolean).join(", ")}`}
        onClick={() => onChoose(name)}
      >
        <title>{name}</title>
        <rect class="box" width={NODE_WIDTH} height={NODE_HEIGHT} rx="9" />
        <circle class="lamp" cx={NODE_WIDTH - PAD - 2} cy="17" r="4" />
        <text class="name" x={PAD} y="21.5">
          {cut(name)}
        </text>
        {cells.map(([value, what], index) => {
          const left = PAD + (index * (NODE_WIDTH - PAD)) / Math.max(3, cells.length);
          return (
            <g key={what} class="cell">
              <text class="value" x={left} y="42">
                {value}
              </text>
              <text class="what" x={left} y="54.5">
                {what}
              </text>
            </g>
          );
        })}
        {cells.length === 0 && (
          <text class="what" x={PAD} y="46">
            nothing is known of its queue
          </text>
        )}
        <rect class="fill" x="9" y={NODE_HEIGHT - 5} width={(NODE_WIDTH - 18) * fill} height="2.5" rx="1.25" />
      </g>
    );
  },
  (a, b) =>
    a.x === b.x && a.y === b.y && a.faint === b.faint && a.chosen === b.chosen && a.stop === b.stop && same(a.actor, b.actor),
);

function same(a: Actor, b: Actor): boolean {
  return (
    a === b ||
    (a.queued === b.queued && a.in_flight === b.in_flight && a.rate === b.rate && a.ready === b.ready && a.desired === b.desired && a.dead === b.dead && a.status === b.status)
  );
}

/** The nearest actor in the direction of an arrow key. */
function neighbour({ nodes }: Layout, at: Placed, key: string): Placed | undefined {
  const ways: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const way = ways[key];
  if (!way) return undefined;
  let best: Placed | undefined;
  let least = Infinity;
  for (const node of nodes) {
    const [dx, dy] = [node.x - at.x, node.y - at.y];
    const along = dx * way[0] + dy * way[1];
    if (along <= 0) continue;
    const across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    const far = along + across * 2.5;
    if (far < least) [best, least] = [node, far];
  }
  return best;
}
