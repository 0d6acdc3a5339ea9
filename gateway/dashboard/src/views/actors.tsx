// Every actor: as a graph along the routes, or as a table.

import { useMemo, useState } from "preact/hooks";
import { ails, distinct, replicas } from "../actors";
import { api, type Actor } from "../api";
import { count, rate } from "../format";
import { usePoll } from "../live";
import { Graph, stateOf } from "../graph/view";
import { record, Spark } from "../parts/spark";
import { Empty, Failed } from "../parts/bits";
import { link, replace, type Place } from "../router";

const EVERY_MS = 2000;

export function Actors({ place }: { place: Place }) {
  const { data, error } = usePoll("actors", async (signal) => record(distinct(await api.actors(signal))), EVERY_MS);
  // On a phone a graph is too small to be read.
  const asTable = (place.query["as"] ?? (matchMedia("(max-width: 600px)").matches ? "table" : "graph")) === "table";
  const search = place.query["q"] ?? "";
  const busy = place.query["busy"] === "1";
  const chosen = place.item;
  const to = (next: Record<string, string | undefined>, item = chosen): string =>
    link("actors", item, { ...place.query, ...next });
  const actors = data?.actors;
  const fitting = useMemo(() => (actors ? fit(actors, search, busy) : []), [actors, search, busy]);

  if (!actors) return error ? <Failed error={error} what="the actors" /> : <div class="graph" aria-busy="true" />;
  if (actors.length === 0)
    return (
      <Empty title="No actors yet">
        <p>
          The gateway shows the actors of its tools' routes, of its cluster, and of the pipelines it hosts. Declare a tool in its tool
          file, or start a pipeline with <code>asya up</code>.
        </p>
        <Warnings of={data.warnings} />
      </Empty>
    );
  const selected = actors.find(({ name }) => name === chosen);
  return (
    <div class="actors">
      <div class="bar">
        <input
          data-search
          type="search"
          aria-label="Find actors by name"
          placeholder="Find actors   /"
          value={search}
          onInput={(event) => replace(to({ q: event.currentTarget.value }))}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
        <label class="check">
          <input type="checkbox" checked={busy} onChange={(event) => replace(to({ busy: event.currentTarget.checked ? "1" : "" }))} />
          Only with work
        </label>
        <Sums actors={actors} shown={fitting.length} />
        <div class="switch" role="group" aria-label="Shown as">
          <a href={to({ as: "graph" })} aria-current={!asTable}>
            Graph
          </a>
          <a href={to({ as: "table" })} aria-current={asTable}>
            Table
          </a>
        </div>
      </div>
      <Warnings of={data.warnings} />
      <div class="actors-body">
        {fitting.length === 0 ? (
          <Empty title="No actor fits">
            <p>
              <a href={link("actors", null, { as: place.query["as"] })}>Show all {count(actors.length)}</a>
            </p>
          </Empty>
        ) : asTable ? (
          <ActorTable actors={fitting} href={(name) => to({}, name)} chosen={chosen} />
        ) : (
          <Graph
            actors={actors}
            shown={search || busy ? new Set(fitting.map(({ name }) => name)) : null}
            chosen={chosen}
            onChoose={(name) => replace(to({}, name))}
          />
        )}
        {selected && <Panel actor={selected} onClose={() => replace(to({}, null))} />}
      </div>
    </div>
  );
}

/** What the gateway may not see, or does not reach. */
function Warnings(props: { of: string[] | undefined }) {
  return (
    <>
      {(props.of ?? []).map((warning) => (
        <p key={warning} class="problem" role="alert">
          {warning}
        </p>
      ))}
    </>
  );
}

function fit(actors: Actor[], search: string, busy: boolean): Actor[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  return actors.filter((actor) => {
    const text = `${actor.namespace ?? ""}/${actor.name} ${actor.queue} ${actor.handler ?? ""}`.toLowerCase();
    if (!words.every((word) => text.includes(word))) return false;
    return !busy || (actor.queued ?? 0) + (actor.in_flight ?? 0) > 0 || (actor.rate ?? 0) > 0;
  });
}

function Sums({ actors, shown }: { actors: Actor[]; shown: number }) {
  const sum = (of: (actor: Actor) => number | undefined): number => actors.reduce((total, actor) => total + (of(actor) ?? 0), 0);
  const parts: [string, string][] = [
    [shown === actors.length ? count(shown) : `${count(shown)} of ${count(actors.length)}`, "actors"],
    [count(sum((actor) => actor.queued)), "queued"],
    [count(sum((actor) => actor.in_flight)), "in flight"],
  ];
  if (actors.some((actor) => actor.rate !== undefined)) parts.push([rate(sum((actor) => actor.rate)), "handled"]);
  return (
    <p class="sums">
      {parts.map(([value, what]) => (
        <span key={what}>
          <b class="num">{value}</b> {what}
        </span>
      ))}
    </p>
  );
}

const why = (actor: Actor): string => (actor.problems ?? []).map(({ message, reason }) => message || reason).join("\n");

const dash = <span class="faint">–</span>;
const number = (value: number | undefined) => (value === undefined ? dash : count(value));

type Column = "name" | "queued" | "in_flight" | "rate" | "dead" | "ready";

function ActorTable(props: { actors: Actor[]; href: (name: string) => string; chosen: string | null }) {
  const [sort, setSort] = useState<Column>("name");
  const sorted = useMemo(
    () =>
      [...props.actors].sort((a, b) =>
        sort === "name" ? a.name.localeCompare(b.name) : (b[sort] ?? -1) - (a[sort] ?? -1) || a.name.localeCompare(b.name),
      ),
    [props.actors, sort],
  );
  const head = (column: Column, title: string) => (
    <th aria-sort={sort === column ? (column === "name" ? "ascending" : "descending") : "none"} class={column === "name" ? "" : "right"}>
      <button type="button" class="head" onClick={() => setSort(column)}>
        {title}
      </button>
    </th>
  );
  return (
    <div class="scroll">
      <table class="plain sticky">
        <thead>
          <tr>
            {head("name", "Actor")}
            <th>State</th>
            {head("queued", "Queued")}
            {head("in_flight", "In flight")}
            {head("rate", "Rate")}
            {head("ready", "Replicas")}
            {head("dead", "Dead letters")}
            <th>Leads to</th>
          </tr>
        </thead>
        <tbody>
          {sorted.map((actor) => (
            <tr key={actor.name} class={actor.name === props.chosen ? "chosen" : ""}>
              <td>
                <a href={props.href(actor.name)}>{actor.name}</a>
              </td>
              <td>
                <span title={why(actor)}>
                  <span class={`dot ${stateOf(actor)}`} /> {actor.status ?? stateOf(actor)}
                </span>
              </td>
              <td class="num right">{number(actor.queued)}</td>
              <td class="num right">{number(actor.in_flight)}</td>
              <td class="num right">{actor.rate === undefined ? dash : rate(actor.rate)}</td>
              <td class="num right">{actor.ready === undefined ? dash : `${actor.ready}/${actor.desired ?? actor.ready}`}</td>
              <td class="num right">{number(actor.dead)}</td>
              <td class="faint clip">{actor.next.join(", ")}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Panel({ actor, onClose }: { actor: Actor; onClose: () => void }) {
  const facts: [string, preact.ComponentChildren][] = [
    ["Queued", number(actor.queued)],
    ["In flight", number(actor.in_flight)],
    ["Rate", actor.rate === undefined ? dash : rate(actor.rate)],
    ["Replicas", replicas(actor) ?? dash],
    ["Dead letters", number(actor.dead)],
    ["State", actor.status ?? stateOf(actor)],
    ["Queue", <code>{actor.queue}</code>],
    ["Transport", actor.transport],
    ...(actor.handler ? ([["Handler", <code>{actor.handler}</code>]] as [string, preact.ComponentChildren][]) : []),
    ...(actor.namespace ? ([["Namespace", actor.namespace]] as [string, preact.ComponentChildren][]) : []),
  ];
  return (
    <aside class="panel" aria-label={`Actor ${actor.name}`}>
      <header>
        <h2>
          <span class={`dot ${stateOf(actor)}`} /> {actor.name}
        </h2>
        <button type="button" class="quiet" onClick={onClose} aria-label="Close">
          ×
        </button>
      </header>
      <Spark name={actor.name} />
      <dl class="facts">
        {facts.map(([what, value]) => (
          <div key={what}>
            <dt>{what}</dt>
            <dd class="num">{value}</dd>
          </div>
        ))}
      </dl>
      {(actor.problems ?? []).map(({ condition, reason, message }) => (
        <p key={condition} class={ails(actor) ? "problem" : "faint"}>
          {condition}: {message || reason}
        </p>
      ))}
      {actor.name.includes("/") || (
        <ul class="links">
          <li>
            <a href={link("envelopes", null, { actor: actor.name })}>Envelopes at this actor</a>
          </li>
          <li>
            <a href={link("failures", null, { actor: actor.name })}>Failures of this actor</a>
          </li>
        </ul>
      )}
      {actor.next.length > 0 && (
        <>
          <h3>Leads to</h3>
          <ul class="links">
            {actor.next.map((name) => (
              <li key={name}>
                <a href={link("actors", name)}>{name}</a>
              </li>
            ))}
          </ul>
        </>
      )}
    </aside>
  );
}
