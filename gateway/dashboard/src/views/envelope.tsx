// One envelope: its way, its contents, what can be done with it.

import { useEffect, useRef, useState } from "preact/hooks";
import { api, BASE, may, token, type Envelope, type Json, type Update } from "../api";
import { curl } from "../curl";
import { clock, duration, moment, plural, shortId } from "../format";
import { useKeys } from "../keys";
import { useNow, usePoll, useSession } from "../live";
import { logs } from "../logs";
import { copy, Empty, Failed, Loading, Status } from "../parts/bits";
import { Act } from "../parts/dialog";
import { EditFields, readEdits, useEdits } from "../parts/edit";
import { JsonBox } from "../parts/json";
import { say } from "../parts/toast";
import { Trace } from "../parts/trace";
import { go, link } from "../router";
import { follow } from "../sse";

/** Beside the stream, which may be cut by something in between. */
const EVERY_MS = 5000;
/** At most this often while updates come in. */
const REFRESH_MS = 300;
/** Older updates are not kept on the page. */
const UPDATES = 500;
/** How long after the stream's end it is asked for reports that the end has overtaken: they are seconds behind, if they come. */
const LATE_MS = 60_000;

const isFinal = (status: string): boolean => status === "succeeded" || status === "failed";

/** History and what comes, live; then what comes after the end. */
function useUpdates(id: string, onNews: () => void): Update[] {
  const [updates, setUpdates] = useState<Update[]>([]);
  const news = useRef(onNews);
  news.current = onNews;
  useEffect(() => {
    const controller = new AbortController();
    let waiting: Update[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = (): void => {
      timer = undefined;
      const batch = waiting;
      waiting = [];
      setUpdates((before) => [...before, ...batch].slice(-UPDATES));
      news.current();
    };
    let last: Update | undefined;
    const add = (update: Update): void => {
      last = update;
      waiting.push(update);
      timer ??= setTimeout(flush, REFRESH_MS);
    };
    let pause: ReturnType<typeof setTimeout> | undefined;
    const late = async (until: number): Promise<void> => {
      if (controller.signal.aborted || !last || !isFinal(last.status)) return;
      // An error is no reason to say something: the page's other calls do.
      const more = await api.updates(id, last.seq, controller.signal).catch(() => null);
      if (controller.signal.aborted) return;
      more?.updates.forEach(add);
      if (Date.now() < until) pause = setTimeout(() => void late(until), EVERY_MS);
    };
    void follow(id, 0, add, controller.signal).then(() => late(Date.now() + LATE_MS));
    return () => {
      controller.abort();
      clearTimeout(timer);
      clearTimeout(pause);
    };
  }, [id]);
  return updates;
}

export function EnvelopeView({ id }: { id: string }) {
  const { data: envelope, error, refresh } = usePoll(`envelope ${id}`, (signal) => api.envelope(id, signal), EVERY_MS);
  const updates = useUpdates(id, refresh);
  const { info } = useSession();
  const [dialog, setDialog] = useState<"cancel" | "resubmit" | null>(null);
  const back = (): void => (history.length > 1 ? history.back() : go(link("envelopes")));
  useKeys([{ keys: ["Escape", "u"], what: "back", run: back }]);
  // A second hand while it runs; nothing moves once it has ended.
  const tick = useNow(250);
  if (error?.status === 404 && !envelope) return <Unknown id={id} />;
  if (!envelope) return error ? <Failed error={error} what={`envelope ${id}`} /> : <Loading rows={8} />;

  const active = !isFinal(envelope.status);
  const now = active ? tick : Date.parse(envelope.ended ?? envelope.updated);
  const contents = may(info, "payload");
  const shell = (): string =>
    curl(new URL(BASE, document.baseURI).href, envelope.actors, envelope.payload ?? null, token() !== null);
  return (
    <article class="scroll page envelope">
      <nav class="crumbs" aria-label="Where this is">
        <a href={link("envelopes")}>Envelopes</a> <span aria-hidden="true">/</span>
        {envelope.parent && (
          <>
            <a href={link("envelopes", envelope.parent)}>{shortId(envelope.parent)}</a> <span aria-hidden="true">/</span>
          </>
        )}
      </nav>
      <header class="title">
        <h1 class="mono">{envelope.id}</h1>
        <Status status={envelope.status} code={envelope.code} />
        <div class="actions">
          {info?.logs_url && (
            <a
              class="logs"
              href={logs(info.logs_url, envelope.id, "", envelope.created, envelope.ended)}
              target="_blank"
              rel="noreferrer"
            >
              Logs
            </a>
          )}
          <button type="button" onClick={() => void copy(envelope.id, "Id")}>
            Copy id
          </button>
          {contents && envelope.payload != null && (
            <button type="button" onClick={() => void copy(shell(), "Command")}>
              Copy as curl
            </button>
          )}
          {may(info, "send") && active && (
            <button type="button" class="danger" onClick={() => setDialog("cancel")}>
              Cancel…
            </button>
          )}
          {may(info, "send") && (
            <button type="button" onClick={() => setDialog("resubmit")}>
              Resubmit…
            </button>
          )}
        </div>
      </header>
      <Facts envelope={envelope} now={now} />
      {envelope.status === "failed" && (
        <section class="failure" role="alert">
          <h2>{envelope.code ?? "failed"}</h2>
          <pre tabIndex={0}>{envelope.error ?? "no reason was given"}</pre>
          {traceback(envelope) && (
            <details>
              <summary>Traceback</summary>
              <pre tabIndex={0}>{traceback(envelope)}</pre>
            </details>
          )}
          <p>
            <a href={link("failures", null, { q: "", actor: envelope.actor })}>Failures of {envelope.actor ?? "all actors"}</a>
          </p>
        </section>
      )}
      <section>
        <h2>Trace</h2>
        <Trace envelope={envelope} now={now} logsUrl={info?.logs_url} />
      </section>
      <section>
        <h2>Contents</h2>
        {contents ? (
          <div class="contents">
            {envelope.payload != null ? <JsonBox name="Payload" value={envelope.payload} /> : <p class="faint">The gateway never saw a payload: this one was made by an actor.</p>}
            {envelope.result != null ? (
              <JsonBox name={envelope.status === "failed" ? "Details of the error" : "Result"} value={envelope.result} />
            ) : (
              <p class="faint">{active ? "No result yet." : "No result was kept."}</p>
            )}
            {envelope.headers != null && <JsonBox name="Headers" value={envelope.headers} />}
          </div>
        ) : (
          <p class="faint">Payload and result need the role payload, which you do not have.</p>
        )}
      </section>
      <Log updates={updates} start={envelope.created} active={active} kept={envelope.hops.length > 0} />
      {dialog === "cancel" && <Cancel envelope={envelope} onClose={() => setDialog(null)} onDone={refresh} />}
      {dialog === "resubmit" && <Resubmit envelope={envelope} editable={contents} onClose={() => setDialog(null)} />}
    </article>
  );
}

function Unknown({ id }: { id: string }) {
  return (
    <Empty title={`This gateway knows no envelope ${shortId(id)}`}>
      <p>
        It knows those that were sent through it. Parts of a fan-out, and what a program sent to a queue by itself, it sees only when they
        fail: <a href={link("failures")}>failures</a>.
      </p>
    </Empty>
  );
}

const member = (value: Json | undefined, name: string): Json | undefined =>
  value && typeof value === "object" && !Array.isArray(value) ? value[name] : undefined;

/** What the runtime told of the exception; line by line it cannot be read in JSON. */
function traceback({ result }: Envelope): string | undefined {
  const text = member(member(result, "details"), "traceback");
  return typeof text === "string" && text ? text.trimEnd() : undefined;
}

function Facts({ envelope, now }: { envelope: Envelope; now: number }) {
  const { children } = envelope;
  const born = children.pending + children.running + children.succeeded + children.failed + children.unknown;
  const facts: [string, preact.ComponentChildren][] = [
    [isFinal(envelope.status) ? "Took" : "So far", duration(now - Date.parse(envelope.created))],
    ["Progress", `${Math.round(envelope.percent)}%`],
    ["Made", moment(envelope.created)],
  ];
  if (envelope.tool) facts.push(["Tool", <a href={link("tools", envelope.tool)}>{envelope.tool}</a>]);
  if (envelope.sender) facts.push(["Sent by", envelope.sender]);
  if (envelope.deadline) facts.push(["Deadline", moment(envelope.deadline)]);
  // Where one was seen last is no place for its good end: the reports of its last actors may have been late.
  if (envelope.actor && envelope.status !== "succeeded")
    facts.push([envelope.status === "failed" ? "Failed at" : "At", envelope.actor]);
  if (envelope.resubmit_of)
    facts.push(["Another try of", <a href={link("envelopes", envelope.resubmit_of)}>{shortId(envelope.resubmit_of)}</a>]);
  if (born > 0)
    facts.push([
      "Children",
      <a href={link("envelopes", null, { parent: envelope.id })}>
        {plural(born, "child", "children")}
        {children.pending + children.running > 0 ? `, ${children.pending + children.running} under way` : ""}
        {children.failed > 0 ? `, ${children.failed} failed` : ""}
      </a>,
    ]);
  return (
    <dl class="facts wide">
      {facts.map(([what, value]) => (
        <div key={what}>
          <dt>{what}</dt>
          <dd class="num">{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Log({ updates, start, active, kept }: { updates: Update[]; start: string; active: boolean; kept: boolean }) {
  const from = Date.parse(start);
  return (
    <section>
      <h2>Updates</h2>
      {updates.length === 0 ? (
        <p class="faint">{active ? "None yet." : kept ? "Reading…" : "None are kept."}</p>
      ) : (
        <table class="plain log">
          <thead>
            <tr>
              <th>When</th>
              <th class="right">After</th>
              <th>Actor</th>
              <th>What</th>
              <th class="right">Progress</th>
            </tr>
          </thead>
          <tbody>
            {updates.map((update) => (
              <tr key={update.seq}>
                <td class="num">{clock(update.at)}</td>
                <td class="num right faint">{duration(Date.parse(update.at) - from)}</td>
                <td>{update.actor ?? ""}</td>
                <td>
                  {update.step ?? update.status}
                  {update.late && <span class="faint"> · after the end</span>}
                  {(update.error ?? update.message) && <span class="faint"> · {update.error ?? update.message}</span>}
                </td>
                <td class="num right">{update.percent === undefined ? "" : `${Math.round(update.percent)}%`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Cancel(props: { envelope: Envelope; onClose: () => void; onDone: () => void }) {
  const [reason, setReason] = useState("");
  return (
    <Act
      title="Cancel this envelope?"
      action="Cancel the envelope"
      danger
      onClose={props.onClose}
      run={async () => {
        const { cancelled } = await api.cancel(props.envelope.id, reason.trim() || undefined);
        say(cancelled.length > 0 ? `${plural(cancelled.length, "envelope")} cancelled` : "It had ended before");
        props.onClose();
        props.onDone();
      }}
    >
      <p>
        Its record ends as failed with the code “cancelled”, and so do those of its children. What is not sent yet is not sent, and actors that
        have it stop within seconds. What they do not hear of in time goes on, and its result is not noted here.
      </p>
      <label class="field">
        <span>
          Reason <em>for the audit log, optional</em>
        </span>
        <input value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
    </Act>
  );
}

function Resubmit(props: { envelope: Envelope; editable: boolean; onClose: () => void }) {
  const { envelope, editable } = props;
  const payload: Json | undefined = envelope.payload ?? undefined;
  const [edits, setEdits] = useEdits(envelope.actors, payload);
  const [before] = useState(edits);
  const read = readEdits(edits);
  const given = editable && edits.payload.trim() !== "";
  return (
    <Act
      title="Resubmit"
      action="Send as a new envelope"
      wide
      disabled={read.route.length === 0 || (given && read.problem !== null)}
      onClose={props.onClose}
      run={async () => {
        const sent = await api.resubmit(envelope.id, {
          ...(edits.route === before.route ? {} : { route: read.route }),
          ...(!given || edits.payload === before.payload ? {} : { payload: read.payload }),
        });
        props.onClose();
        say("Sent as a new envelope");
        go(link("envelopes", sent.id));
      }}
    >
      <p>A new envelope with an id of its own; this one stays as it is. It begins at the first actor of the route.</p>
      {editable ? (
        <EditFields edits={edits} onChange={setEdits} />
      ) : (
        <p class="faint">It is sent with the payload that is stored; editing needs the role payload.</p>
      )}
    </Act>
  );
}
