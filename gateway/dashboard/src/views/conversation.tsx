// One conversation: what was said and done as it happens, and the field to say more.

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { may } from "../api";
import { chat, type Session } from "../chat/api";
import { Composer } from "../chat/composer";
import { Live, Shown, aloud } from "../chat/items";
import { STATES, spoken } from "../chat/told";
import { items, sentences, type Transcript } from "../chat/transcript";
import { useTranscript } from "../chat/use";
import { count } from "../format";
import { useSession, wake } from "../live";
import { Empty, Failed, Loading } from "../parts/bits";
import { message } from "../parts/dialog";
import { Menu, type Action } from "../parts/menu";
import { say } from "../parts/toast";
import { go, link } from "../router";
import { Delete, Rename, Share } from "./sessions";

/** So close to its end, a conversation is followed. */
const NEAR_PX = 80;

interface Props {
  id: string;
  modelsOf: Map<string, string[]>;
}

export function Conversation({ id, modelsOf }: Props) {
  const { info } = useSession();
  const { transcript, refused, learn } = useTranscript(id);
  const { session, entries, operations, writing } = transcript;
  const shown = useMemo(() => items(entries, [...operations.values()]), [entries, operations]);
  const state = session?.state;
  const title = session?.title;
  // The list of conversations and the number of approvals are not as they were.
  useEffect(wake, [state, title]);
  useEffect(() => {
    if (title) document.title = `${title} · asya`;
  }, [title]);
  const me = info?.principal.name ?? "";
  if (refused)
    return (
      <section class="chat-main">
        {refused.status === 404 ? (
          <Empty title="There is no such conversation">
            <p>It was deleted, or is not shared with you (any more).</p>
            <p>
              <a href={link("chat", "new")}>Begin a new one</a>
            </p>
          </Empty>
        ) : (
          <Failed error={refused} what="this conversation" />
        )}
      </section>
    );
  if (!session)
    return (
      <section class="chat-main">
        <Loading rows={8} />
      </section>
    );
  const running = session.state !== "idle";
  // What has no answer in a turn that is over gets none any more.
  const turn = shown.findLastIndex((item) => item.kind === "said" && item.entry.kind === "user");
  return (
    <section class="chat-main" aria-label={`Conversation: ${session.title}`}>
      <Head session={session} me={me} />
      <Scrolled>
        {shown.length === 0 && !running && (
          <Empty title="Nothing has been said yet">
            <p>Say below what you want {session.agent} to do.</p>
          </Empty>
        )}
        {shown.map((item, at) => (
          <Shown key={item.kind === "operation" ? item.operation.id : item.entry.n} item={item} me={me} running={running && at > turn} onChange={learn} />
        ))}
        {session.state === "running" && <Live writing={writing} />}
        {(session.waiting ?? []).map((text, at) => (
          <article key={`waiting ${at}`} class="said person waiting" aria-label="Waits">
            <p class="plain-words">{text}</p>
            <p class="faint">waits for the turn that runs</p>
          </article>
        ))}
      </Scrolled>
      <Aloud transcript={transcript} />
      <div class="chat-foot">
        {running && <Running session={session} />}
        <Composer
          name={id}
          placeholder={running ? "Say more: it waits its turn" : `Say something to ${session.agent}`}
          models={modelsOf.get(session.agent) ?? []}
          send={async (message) => {
            await chat.say(id, message);
          }}
        />
      </div>
    </section>
  );
}

function Head({ session, me }: { session: Session; me: string }) {
  const { info } = useSession();
  const [dialog, setDialog] = useState<"rename" | "share" | "delete" | null>(null);
  const mine = session.owner === me || may(info, "admin");
  const { word, status } = STATES[session.state];
  const shared = session.shared ?? [];
  const close = (): void => setDialog(null);
  const exported = { name: "Export", run: () => void save(session) };
  const actions: Action[] = mine
    ? [
        { name: "Rename…", run: () => setDialog("rename") },
        { name: "Share…", run: () => setDialog("share") },
        exported,
        { name: "Delete…", danger: true, run: () => setDialog("delete") },
      ]
    : [exported];
  const facts = [
    session.agent,
    session.owner !== me && `of ${session.owner}`,
    shared.length > 0 && `shared with ${shared.join(", ")}`,
    session.usage && session.usage.calls > 0 && `${count(session.usage.input + session.usage.output)} tokens`,
  ];
  return (
    <header class="chat-head">
      <a class="back" href={link("chat")} aria-label="All conversations">
        <span aria-hidden="true">←</span>
      </a>
      <div class="chat-title">
        <h1 class="clip" title={session.title}>
          {session.title || "Untitled"}
        </h1>
        <p class="faint clip">
          <span class={`status ${status}`}>{word}</span> · {facts.filter(Boolean).join(" · ")}
        </p>
      </div>
      <Menu label="Actions on this conversation" actions={actions} />
      {dialog === "rename" && <Rename session={session} onClose={close} />}
      {dialog === "share" && <Share session={session} onClose={close} />}
      {dialog === "delete" && (
        <Delete
          session={session}
          onClose={close}
          onDone={() => {
            wake();
            go(link("chat"));
          }}
        />
      )}
    </header>
  );
}

/** Saves the conversation as a file of Markdown. */
async function save({ id }: Session): Promise<void> {
  try {
    const text = await chat.exported(id);
    const place = URL.createObjectURL(new Blob([text], { type: "text/markdown" }));
    const anchor = document.createElement("a");
    anchor.href = place;
    anchor.download = `${id}.md`;
    anchor.click();
    URL.revokeObjectURL(place);
  } catch (problem) {
    say(`Not exported: ${message(problem)}`);
  }
}

/** The turn that runs, and the way to end it. */
function Running({ session }: { session: Session }) {
  const [busy, setBusy] = useState(false);
  const cancel = async (): Promise<void> => {
    setBusy(true);
    try {
      await chat.cancel(session.id);
      say("The turn is cancelled");
    } catch (problem) {
      say(message(problem));
    } finally {
      setBusy(false);
    }
  };
  return (
    <p class="turn">
      <span class={`status ${STATES[session.state].status}`}>
        {session.state === "running" ? `${session.agent} is at it` : "waits for approval; you may close this page"}
      </span>
      <button type="button" class="danger small" disabled={busy} onClick={() => void cancel()}>
        {busy ? "Cancelling…" : "Cancel this turn"}
      </button>
    </p>
  );
}

/** Stays at the end while somebody is there, and where they read when they are not. */
function Scrolled({ children }: { children: preact.ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  const [near, setNear] = useState(true);
  const down = (): void => {
    const element = box.current;
    if (element) element.scrollTop = element.scrollHeight;
  };
  useLayoutEffect(() => {
    if (near) down();
  });
  useEffect(() => {
    // What is unfolded, or drawn late, moves the end too.
    const inner = box.current?.firstElementChild;
    if (!inner || !near) return;
    const watch = new ResizeObserver(down);
    watch.observe(inner);
    return () => watch.disconnect();
  }, [near]);
  return (
    <div
      ref={box}
      class="scroll talk"
      tabIndex={0}
      role="region"
      aria-label="What was said"
      onScroll={(event) => {
        const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
        setNear(scrollHeight - scrollTop - clientHeight < NEAR_PX);
      }}
    >
      <div class="talk-inner">{children}</div>
      {!near && (
        <button type="button" class="to-end" onClick={() => (setNear(true), down())}>
          To the end ↓
        </button>
      )}
    </div>
  );
}

/** Reads aloud what comes: answers by whole sentences while they are written, each once; what was there before, not. */
function Aloud({ transcript }: { transcript: Transcript }) {
  const { entries, writing, operations } = transcript;
  const [text, setText] = useState("");
  const said = useRef({ entries: entries.length, writing: 0, n: 0, asked: new Set([...operations.keys()]) });
  useEffect(() => {
    const so = said.current;
    const news: string[] = [];
    for (const entry of entries.slice(so.entries)) {
      const whole = aloud(entry);
      news.push(entry.n === so.n ? whole.slice(so.writing) : whole);
    }
    so.entries = entries.length;
    if (writing) {
      if (writing.n !== so.n || writing.text.length < so.writing) Object.assign(so, { n: writing.n, writing: 0 });
      const end = sentences(writing.text, so.writing);
      news.push(writing.text.slice(so.writing, end));
      so.writing = end;
    }
    for (const { id, phase, summary } of operations.values()) {
      if (phase === "waiting" && !so.asked.has(id)) news.push(`Approval needed: ${summary}.`);
      so.asked.add(id);
    }
    const next = spoken(news.join("\n"));
    if (next) setText(next);
  }, [entries, writing, operations]);
  return (
    <p class="sr" role="log" aria-live="polite" aria-atomic="true">
      {text}
    </p>
  );
}
