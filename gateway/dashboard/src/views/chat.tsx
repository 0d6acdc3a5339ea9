// Conversations with agents: those that there are, the one that is open, or a new one.

import { useRef, useState } from "preact/hooks";
import { may } from "../api";
import { chat, type Agent, type Session } from "../chat/api";
import { Composer } from "../chat/composer";
import { STATES } from "../chat/told";
import { plural } from "../format";
import { useKeys } from "../keys";
import { useNow, usePoll, useSession } from "../live";
import { Empty, Failed, Loading, When } from "../parts/bits";
import { go, link, type Place } from "../router";
import { Conversation } from "./conversation";

const EVERY_MS = 4000;
const AGENTS_MS = 15_000;
const PAGE = 50;
/** Most that the gateway gives at once. */
const MOST = 1000;
/** What stands in the address for a conversation that has not begun. */
const NEW = "new";

export function Chat({ place }: { place: Place }) {
  const { info } = useSession();
  const all = place.query["all"] === "1" && may(info, "admin");
  const [limit, setLimit] = useState(PAGE);
  const sessions = usePoll(`sessions ${all} ${limit}`, (signal) => chat.sessions(all, limit, signal), EVERY_MS);
  const before = useRef<typeof sessions.data>(undefined);
  // A longer list is on its way: the shorter one stays until it is here.
  if (sessions.data) before.current = sessions.data;
  const agents = usePoll("agents", chat.agents, AGENTS_MS);
  useKeys([{ keys: ["n"], what: "new conversation", run: () => go(link("chat", NEW)) }]);
  const listed = before.current;
  const error = sessions.error ?? agents.error;
  if (!listed || !agents.data) return error ? <Failed error={error} what="conversations" /> : <Loading />;
  const models = new Map(agents.data.agents.map(({ name, models }) => [name, models ?? []]));
  const open = place.item !== null && place.item !== NEW;
  return (
    <div class={`chat ${open || place.item === NEW ? "opened" : ""}`}>
      <Sidebar
        sessions={listed.sessions}
        more={Boolean(listed.next) && limit < MOST}
        onMore={() => setLimit(Math.min(MOST, limit * 2))}
        chosen={place.item}
        all={all}
      />
      {open ? (
        <Conversation key={place.item} id={place.item as string} modelsOf={models} />
      ) : (
        // Drawn anew where it is asked for again: the field for the message has the focus then.
        <Begin key={place.item} agents={agents.data.agents} chosen={place.query["agent"]} />
      )}
    </div>
  );
}

function Sidebar(props: { sessions: Session[]; more: boolean; onMore: () => void; chosen: string | null; all: boolean }) {
  const { sessions, chosen, all } = props;
  const { info } = useSession();
  const now = useNow(5000);
  const [search, setSearch] = useState("");
  const words = search.toLowerCase();
  const fitting = sessions.filter(({ title, agent, owner }) => `${title} ${agent} ${owner}`.toLowerCase().includes(words));
  const query = { all: all ? "1" : undefined };
  return (
    <aside class="groups" aria-label="Conversations">
      <div class="row sidebar-head">
        <input
          data-search
          type="search"
          class="grow"
          aria-label="Find conversations"
          placeholder="Find conversations   /"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
        <a class="begin-link" href={link("chat", NEW, query)} title="New conversation (n)">
          New
        </a>
      </div>
      {may(info, "admin") && (
        <label class="check pad">
          <input type="checkbox" checked={all} onChange={() => go(link("chat", chosen, { all: all ? undefined : "1" }))} />
          <span>Everybody's</span>
        </label>
      )}
      {fitting.map((session) => (
        <a
          key={session.id}
          class="group"
          href={link("chat", session.id, query)}
          aria-current={session.id === chosen ? "true" : undefined}
        >
          <span class="group-actor clip">{session.title || "Untitled"}</span>
          <span class="group-sample clip faint">
            {session.agent}
            {session.owner !== info?.principal.name && ` · of ${session.owner}`} · <When time={session.updated} now={now} />
          </span>
          {session.state !== "idle" && <span class={`status ${STATES[session.state].status} group-state`}>{STATES[session.state].word}</span>}
        </a>
      ))}
      {fitting.length === 0 && <p class="faint pad">{sessions.length === 0 ? "No conversations yet." : "No conversation fits."}</p>}
      {props.more && (
        <button type="button" class="quiet" onClick={props.onMore}>
          Show more
        </button>
      )}
    </aside>
  );
}

function Begin({ agents, chosen }: { agents: Agent[]; chosen: string | undefined }) {
  const [name, setName] = useState(chosen ?? "");
  const agent = agents.find((agent) => agent.name === name) ?? agents[0];
  if (!agent)
    return (
      <section class="chat-main" aria-label="New conversation">
        <Empty title="No agents yet">
          <p>
            An agent answers in conversations, and does what it may with its tools. Declare one as an <code>Agent</code> in the cluster, or
            put its file into the directory that <code>ASYA_GATEWAY_AGENTS_DIR</code> names; the gateway reads it at once:
          </p>
          <pre>{'{"name": "operator", "description": "Operates the cluster",\n "models": ["gpt-4o"],\n "tools": [{"name": "k8s_read", "risk": "low"}]}'}</pre>
        </Empty>
      </section>
    );
  return (
    <section class="chat-main" aria-label="New conversation">
      <div class="scroll begin">
        <p class="back">
          <a href={link("chat")}>Conversations</a>
        </p>
        <h1>New conversation</h1>
        <p class="faint">An agent looks with its tools, answers, and asks before it changes anything. You may leave meanwhile.</p>
        <fieldset class="agents">
          <legend>Agent</legend>
          {agents.map((one) => (
            <label key={one.name} class="agent">
              <input type="radio" name="agent" checked={one === agent} onChange={() => setName(one.name)} />
              <span>
                <b>{one.name}</b>
                {one.description && <span class="agent-for">{one.description}</span>}
                <span class="faint">{tools(one)}</span>
              </span>
            </label>
          ))}
        </fieldset>
      </div>
      <div class="chat-foot">
        <Composer
          key={agent.name}
          name={NEW}
          placeholder={`Ask ${agent.name}`}
          models={agent.models ?? []}
          send={async (message) => {
            const session = await chat.begin(agent.name, message);
            go(link("chat", session.id));
          }}
        />
      </div>
    </section>
  );
}

function tools({ tools = [] }: Agent): string {
  const asking = tools.filter(({ approval }) => approval).length;
  if (tools.length === 0) return "no tools: it only talks";
  return `${plural(tools.length, "tool")}${asking > 0 ? `, ${asking} after approval` : ""}: ${tools.map(({ name }) => name).join(", ")}`;
}
