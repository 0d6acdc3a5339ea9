// All envelopes, newest first: search, filters, and rows that follow what happens.

import { useRef, useState } from "preact/hooks";
import { api, may, type Counts, type EnvelopeQuery, type Summary } from "../api";
import { count, duration, shortId } from "../format";
import { useKeys } from "../keys";
import { useNow, usePoll, useRested, useSession } from "../live";
import { Empty, Failed, Loading, Status, When } from "../parts/bits";
import { Act } from "../parts/dialog";
import { EditFields, readEdits, useEdits } from "../parts/edit";
import { Rows } from "../parts/rows";
import { go, link, replace, type Place } from "../router";
import { append, EMPTY, merge, type List } from "./list";

const EVERY_MS = 3000;
const COUNTS_MS = 5000;
const PAGE = 100;
const COLUMNS = "minmax(11rem,1.3fr) 7rem minmax(7rem,1fr) minmax(7rem,1fr) 9rem 5.5rem 5rem";
const STATES = ["", "pending", "running", "succeeded", "failed"] as const;

/** Lists by filter, and the row that was chosen in it: the way back from an envelope finds both. */
const kept: { key: string; list: List; selected: string | null } = { key: "", list: EMPTY, selected: null };

export function Envelopes({ place }: { place: Place }) {
  const { query } = place;
  const now = useNow();
  const { info } = useSession();
  const [sending, setSending] = useState(false);
  const wanted = useRested(JSON.stringify(pick(query)));
  const filter = JSON.parse(wanted) as EnvelopeQuery;
  const filtered = Object.keys(filter).length > 0;

  const [list, setList] = useState<List>(kept.key === wanted ? kept.list : EMPTY);
  const [selected, setSelected] = useState<string | null>(kept.key === wanted ? kept.selected : null);
  const atTop = useRef(true);
  const asking = useRef<AbortController | null>(null);
  const shown = useRef(wanted);
  if (shown.current !== wanted) {
    shown.current = wanted;
    asking.current?.abort();
    asking.current = null;
    kept.key = "";
    setList(EMPTY);
    setSelected(null);
  }
  Object.assign(kept, { key: wanted, list, selected });

  const poll = usePoll(
    `envelopes ${wanted}`,
    async (signal) => {
      const page = await api.envelopes(filter, undefined, PAGE, signal);
      if (!signal.aborted) setList((before) => merge(before, page, !atTop.current));
      return true;
    },
    EVERY_MS,
  );
  const counts = usePoll("counts", api.counts, COUNTS_MS).data;

  const more = (): void => {
    if (asking.current || list.next == null) return;
    const controller = new AbortController();
    asking.current = controller;
    api
      .envelopes(filter, list.next, PAGE, controller.signal)
      .then((page) => !controller.signal.aborted && setList((before) => append(before, page)))
      .catch(() => undefined)
      .finally(() => asking.current === controller && (asking.current = null));
  };

  const index = list.items.findIndex(({ id }) => id === selected);
  const step = (by: number): void => {
    const to = list.items[Math.max(0, Math.min(list.items.length - 1, index < 0 ? 0 : index + by))];
    if (to) setSelected(to.id);
  };
  const set = (next: Record<string, string>): void => replace(link("envelopes", null, { ...query, ...next }));
  useKeys([
    { keys: ["j", "ArrowDown"], what: "next", run: () => step(1) },
    { keys: ["k", "ArrowUp"], what: "previous", run: () => step(-1) },
    { keys: ["Enter", "o"], what: "open", run: () => selected && go(link("envelopes", selected)) },
    { keys: ["n"], what: "new", run: () => setSending(true) },
    { keys: ["Escape"], what: "no filter", run: () => replace(link("envelopes")) },
  ]);

  return (
    <div class="envelopes">
      <div class="bar">
        <input
          data-search
          type="search"
          class="grow"
          aria-label="Search ids and errors"
          placeholder="Search ids and errors   /"
          value={query["q"] ?? ""}
          onInput={(event) => set({ q: event.currentTarget.value })}
          onKeyDown={(event) => (event.key === "Escape" || event.key === "Enter") && event.currentTarget.blur()}
        />
        <Filter name="actor" query={query} set={set} />
        <Filter name="tool" query={query} set={set} />
        <select aria-label="Since" value={query["age"] ?? ""} onChange={(event) => set({ age: event.currentTarget.value })}>
          <option value="">any time</option>
          <option value="15">last 15 min</option>
          <option value="60">last hour</option>
          <option value="1440">last day</option>
          <option value="10080">last week</option>
        </select>
        {may(info, "send") && (
          <button type="button" onClick={() => setSending(true)} title="New envelope (n)">
            New envelope
          </button>
        )}
      </div>
      <Tabs query={query} counts={counts} />
      {query["parent"] && (
        <p class="note">
          Children of <a href={link("envelopes", query["parent"])}>{shortId(query["parent"])}</a>.{" "}
          <a href={link("envelopes", null, { ...query, parent: "" })}>Show all envelopes</a>
        </p>
      )}
      <div class={`news ${list.fresh.length > 0 ? "shown" : ""}`}>
        {list.fresh.length > 0 && (
          <button
            type="button"
            class="primary small"
            onClick={() => {
              atTop.current = true;
              document.querySelector(".rows")?.scrollTo({ top: 0 });
              poll.refresh();
            }}
          >
            {list.fresh.length >= PAGE ? `${PAGE} or more new` : `${list.fresh.length} new`}: to the top
          </button>
        )}
      </div>
      {list.next === undefined ? (
        poll.error ? (
          <Failed error={poll.error} what="envelopes" />
        ) : (
          <Loading rows={14} />
        )
      ) : list.items.length === 0 ? (
        filtered ? (
          <Empty title="No envelope fits">
            <p>
              <a href={link("envelopes")}>Show all envelopes</a>
            </p>
          </Empty>
        ) : (
          <Empty title="No envelopes yet">
            <p>
              <a href={link("tools")}>Call a tool</a>, or send an envelope: <kbd>n</kbd>
            </p>
          </Empty>
        )
      ) : (
        <Rows
          name="envelopes"
          key={wanted}
          label="Envelopes, newest first"
          items={list.items}
          selected={index}
          more={list.next !== null}
          onMore={more}
          onTop={(top) => (atTop.current = top)}
          columns={COLUMNS}
          head={["Id", "State", "Actor", "Tool", "Progress", "Took", "Age"].map((title) => (
            <span key={title} role="columnheader" class={["Took", "Age"].includes(title) ? "right" : ""}>
              {title}
            </span>
          ))}
          row={(item, at) => <Row key={item.id} item={item} now={now} selected={item.id === selected} index={at} />}
        />
      )}
      {sending && <Send onClose={() => setSending(false)} />}
    </div>
  );
}

/** The filter of the API from the address. */
function pick(query: Record<string, string>): EnvelopeQuery {
  const filter: EnvelopeQuery = {};
  for (const name of ["status", "actor", "tool", "q", "parent", "age"] as const) if (query[name]) filter[name] = query[name];
  if (filter["age"]) {
    // To the minute: the key of the list would change with every moment otherwise.
    const minute = Math.floor(Date.now() / 60_000) - Number(filter["age"]);
    filter.since = new Date(minute * 60_000).toISOString();
    delete filter["age"];
  }
  return filter;
}

function Filter(props: { name: "actor" | "tool"; query: Record<string, string>; set: (next: Record<string, string>) => void }) {
  const { name } = props;
  const known = usePoll(
    `names ${name}`,
    async (signal) => (name === "actor" ? (await api.actors(signal)).actors : (await api.tools(signal)).tools).map((one) => one.name),
    60_000,
  ).data;
  return (
    <>
      <input
        class="narrow"
        list={`known-${name}`}
        aria-label={`Only this ${name}`}
        placeholder={`any ${name}`}
        value={props.query[name] ?? ""}
        onInput={(event) => props.set({ [name]: event.currentTarget.value })}
        onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
      />
      <datalist id={`known-${name}`}>
        {known?.map((value) => (
          <option key={value} value={value} />
        ))}
      </datalist>
    </>
  );
}

function Tabs({ query, counts }: { query: Record<string, string>; counts: Counts | undefined }) {
  const total = counts && counts.pending + counts.running + counts.succeeded + counts.failed + counts.unknown;
  return (
    <nav class="tabs" aria-label="By state">
      {STATES.map((state) => {
        const number = state === "" ? total : counts?.[state];
        return (
          <a key={state} href={link("envelopes", null, { ...query, status: state })} aria-current={(query["status"] ?? "") === state ? "true" : undefined}>
            {state === "" ? "all" : <Status status={state} />} <span class="num faint">{number === undefined ? " " : count(number)}</span>
          </a>
        );
      })}
    </nav>
  );
}

function Row({ item, now, selected, index }: { item: Summary; now: number; selected: boolean; index: number }) {
  const done = item.status === "succeeded" || item.status === "failed";
  const took = Date.parse(item.ended ?? (done ? item.updated : new Date(now).toISOString())) - Date.parse(item.created);
  return (
    <div
      role="row"
      aria-rowindex={index + 2}
      aria-selected={selected}
      class={`line ${selected ? "selected" : ""}`}
      title={item.error ?? item.message ?? ""}
      onClick={(event) => getSelection()?.isCollapsed && !(event.target as HTMLElement).closest("a") && go(link("envelopes", item.id))}
    >
      <span role="cell" class="mono clip">
        <a href={link("envelopes", item.id)}>{item.id}</a>
      </span>
      <span role="cell">
        <Status status={item.status} code={item.code} />
      </span>
      <span role="cell" class="clip">
        {item.actor ?? <span class="faint">–</span>}
      </span>
      <span role="cell" class="clip">
        {item.tool ?? <span class="faint">–</span>}
      </span>
      <span role="cell">
        {item.status === "failed" ? (
          <span class="clip code">{item.code ?? "failed"}</span>
        ) : (
          <span class="meter-row">
            <span class={`meter ${item.status}`} style={{ "--part": `${item.percent}%` }} />
            <span class="num faint">{Math.round(item.percent)}%</span>
          </span>
        )}
      </span>
      <span role="cell" class="num right">
        {duration(took)}
      </span>
      <span role="cell" class="right faint">
        <When time={item.created} now={now} />
      </span>
    </div>
  );
}

function Send({ onClose }: { onClose: () => void }) {
  const [edits, setEdits] = useEdits([], {});
  const read = readEdits(edits);
  return (
    <Act
      title="New envelope"
      action="Send"
      wide
      disabled={read.problem !== null || read.route.length === 0}
      onClose={onClose}
      run={async () => {
        const sent = await api.send({ route: read.route, payload: read.payload });
        onClose();
        go(link("envelopes", sent.id));
      }}
    >
      <EditFields edits={edits} onChange={setEdits} />
    </Act>
  );
}
