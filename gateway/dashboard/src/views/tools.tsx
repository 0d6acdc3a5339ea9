// Tools: what can be called, a form for the arguments, and the call as it goes.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { api, may, Problem, type Envelope, type Tool, type Update } from "../api";
import { duration, shortId } from "../format";
import { useNow, usePoll, useSession } from "../live";
import { Empty, Failed, Loading, Status } from "../parts/bits";
import { message } from "../parts/dialog";
import { FieldInput } from "../parts/form";
import { JsonBox } from "../parts/json";
import { link, type Place } from "../router";
import { draft, fields, readAll, type Draft } from "../schema";
import { follow } from "../sse";

const EVERY_MS = 5000;

export function Tools({ place }: { place: Place }) {
  const { data, error } = usePoll("tools", api.tools, EVERY_MS);
  const [search, setSearch] = useState("");
  if (!data) return error ? <Failed error={error} what="tools" /> : <Loading />;
  if (data.tools.length === 0)
    return (
      <Empty title="No tools yet">
        {data.error && <p class="problem">{data.error}</p>}
        <p>A tool is a pipeline that can be called by name. Declare one in the gateway's tool file; it is read again when it changes:</p>
        <pre>{"tools:\n  - name: summarise\n    description: Summarises a text\n    parameters:\n      text: {type: string, required: true}\n    route: [split, summarise]"}</pre>
      </Empty>
    );
  const words = search.toLowerCase();
  const fitting = data.tools.filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(words));
  const chosen = data.tools.find(({ name }) => name === place.item) ?? (place.item ? undefined : data.tools[0]);
  return (
    <div class="tools">
      <aside class="groups" aria-label="Tools">
        <input
          data-search
          type="search"
          aria-label="Find tools"
          placeholder="Find tools   /"
          value={search}
          onInput={(event) => setSearch(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Escape" && event.currentTarget.blur()}
        />
        {fitting.map((tool) => (
          <a key={tool.name} class="group" href={link("tools", tool.name)} aria-current={tool.name === chosen?.name ? "true" : undefined}>
            <span class="group-actor clip">{tool.name}</span>
            <span />
            <span class="group-sample clip faint">{tool.description}</span>
          </a>
        ))}
        {fitting.length === 0 && <p class="faint pad">No tool fits.</p>}
      </aside>
      <div class="scroll tool-side">
        {data.error && (
          <p class="problem" role="alert">
            The tool file has an error, and the tools before it stay: {data.error}
          </p>
        )}
        {chosen ? <ToolForm key={chosen.name} tool={chosen} /> : <Empty title={`There is no tool “${place.item}”`} />}
      </div>
    </div>
  );
}

function ToolForm({ tool }: { tool: Tool }) {
  const { info } = useSession();
  const shape = JSON.stringify(tool.input_schema);
  const all = useMemo(() => fields(tool.input_schema), [shape]);
  const [drafts, setDrafts] = useState<Record<string, Draft>>(() => Object.fromEntries(all.map((field) => [field.name, draft(field)])));
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState(false);
  const [calls, setCalls] = useState<{ id: string; at: number }[]>([]);
  const form = useRef<HTMLFormElement>(null);

  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    if (busy) return;
    const { value, errors: wrong } = readAll(all, drafts);
    setErrors(wrong);
    setProblem("");
    if (Object.keys(wrong).length > 0) {
      requestAnimationFrame(() => form.current?.querySelector<HTMLElement>("[aria-invalid='true']")?.focus());
      return;
    }
    setBusy(true);
    try {
      const { id } = await api.callTool(tool.name, value);
      setCalls((before) => [{ id, at: Date.now() }, ...before].slice(0, 5));
    } catch (refused) {
      const named = refused instanceof Problem ? refused.fields.filter(({ field }) => field !== "") : [];
      setErrors(Object.fromEntries(named.map(({ field, reason }) => [field.replace(/^arguments\./, ""), reason])));
      setProblem(message(refused));
    } finally {
      setBusy(false);
    }
  };

  return (
    <article class="tool">
      <h1>{tool.name}</h1>
      <p>{tool.description}</p>
      <p class="route" aria-label={`Route: ${tool.route.join(", then ")}`}>
        {tool.route.map((actor, index) => (
          <span key={index}>
            {index > 0 && <span aria-hidden="true"> → </span>}
            <a href={link("actors", actor)}>{actor}</a>
          </span>
        ))}
      </p>
      <div class="tool-columns">
        <form ref={form} onSubmit={(event) => void submit(event)} noValidate>
          {all.length === 0 && <p class="faint">This tool takes no arguments.</p>}
          {all.map((field) => (
            <FieldInput
              key={field.name}
              field={field}
              path={field.name}
              value={drafts[field.name]}
              errors={errors}
              onChange={(value) => setDrafts((before) => ({ ...before, [field.name]: value }))}
            />
          ))}
          {problem && (
            <p class="problem" role="alert">
              {problem}
            </p>
          )}
          <div class="row">
            <button type="submit" class="primary" disabled={busy || !may(info, "send")}>
              {busy ? "Calling…" : "Call"}
            </button>
            {info && !may(info, "send") && <span class="faint">Calling needs the role send.</span>}
          </div>
        </form>
        <div class="calls" aria-live="polite">
          {calls.map(({ id }) => (
            <Call key={id} id={id} />
          ))}
          {calls.length === 0 && <p class="faint">The call and its progress appear here.</p>}
        </div>
      </div>
    </article>
  );
}

function Call({ id }: { id: string }) {
  const [last, setLast] = useState<Update | null>(null);
  const [ended, setEnded] = useState<Envelope | null>(null);
  const [started] = useState(Date.now());
  useEffect(() => {
    const controller = new AbortController();
    void follow(id, 0, setLast, controller.signal).then(async () => {
      if (!controller.signal.aborted) setEnded(await api.envelope(id, controller.signal));
    }).catch(() => undefined);
    return () => controller.abort();
  }, [id]);
  const now = useNow(100);
  const status = ended?.status ?? last?.status ?? "pending";
  const took = ended ? Date.parse(ended.ended ?? ended.updated) - Date.parse(ended.created) : Math.max(0, now - started);
  const percent = ended?.status === "succeeded" ? 100 : (last?.percent ?? 0);
  return (
    <section class="call" aria-label={`Call ${id}`}>
      <header>
        <Status status={status} code={ended?.code} />
        <a class="mono" href={link("envelopes", id)}>
          {shortId(id)}
        </a>
        <span class="num faint right">{duration(took)}</span>
      </header>
      <div
        class={`meter big ${status}`}
        role="progressbar"
        aria-valuenow={Math.round(percent)}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-label="Progress"
        style={{ "--part": `${percent}%` }}
      />
      <p class="faint call-now">
        {ended ? "" : last?.actor ? `${last.actor}: ${last.step ?? last.status}${last.message ? `, ${last.message}` : ""}` : "on its way to the first actor"}
      </p>
      {ended?.status === "failed" && (
        <p class="problem">
          <b>{ended.code}</b> {ended.error}
        </p>
      )}
      {ended?.result != null && <JsonBox name={ended.status === "failed" ? "Details of the error" : "Result"} value={ended.result} />}
    </section>
  );
}
