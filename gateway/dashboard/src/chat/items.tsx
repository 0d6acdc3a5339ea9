// What was said and done, as it stands in the conversation.

import { moment } from "../format";
import { useNow } from "../live";
import { When } from "../parts/bits";
import { JsonBox } from "../parts/json";
import { memo } from "../parts/memo";
import type { Entry, Operation } from "./api";
import { Card } from "./card";
import { short } from "./told";
import type { Item, Step, Writing } from "./transcript";
import { Words } from "./words";

/** More characters of a tool's answer than this are shown when somebody asks for them. */
const SHOWN = 20_000;
/** How often the age of what was said is told anew. */
const TICK_MS = 20_000;

interface Props {
  item: Item;
  /** Who looks. */
  me: string;
  /** The turn goes on: what has no answer yet waits for one. */
  running: boolean;
  onChange: (operation: Operation) => void;
}

const parts = (item: Item): unknown[] =>
  item.kind === "operation"
    ? [item.operation]
    : item.kind === "answer"
      ? [item.entry, ...item.steps.flatMap(({ result, operations }) => [result, ...operations])]
      : [item.entry];

function same(before: Props, after: Props): boolean {
  const [old, now] = [parts(before.item), parts(after.item)];
  return before.running === after.running && before.me === after.me && old.length === now.length && old.every((part, at) => part === now[at]);
}

export const Shown = memo(({ item, me, running, onChange }: Props) => {
  switch (item.kind) {
    case "operation":
      return <Card operation={item.operation} onChange={onChange} />;
    case "result":
      return <Result name={item.entry.name} failed={item.entry.failed === true} text={item.entry.text} />;
    case "answer":
      return (
        <article class="said answer" aria-label="Answer">
          {item.entry.text && <Words text={item.entry.text} />}
          {item.steps.length > 0 && (
            <ol class="steps" aria-label="Steps">
              {item.steps.map((step, at) => (
                <Stepped key={at} step={step} running={running} onChange={onChange} />
              ))}
            </ol>
          )}
        </article>
      );
    case "said":
      return <Said entry={item.entry} me={me} />;
  }
}, same);

function Said({ entry, me }: { entry: Extract<Item, { kind: "said" }>["entry"]; me: string }) {
  const now = useNow(TICK_MS);
  if (entry.kind === "user")
    return (
      <article class="said person" aria-label={entry.by === me ? "You" : entry.by}>
        <p class="plain-words">{entry.text}</p>
        <p class="faint who-said">
          {entry.by !== me && `${entry.by} · `}
          <When time={entry.at} now={now} />
        </p>
      </article>
    );
  if (entry.kind === "notice")
    return (
      <p class="notice" title={moment(entry.at)}>
        {entry.text} <span class="code">{entry.code}</span>
      </p>
    );
  return (
    <details class="summed" title={moment(entry.at)}>
      <summary>What was said before is summed up for the model</summary>
      <Words text={entry.text} />
    </details>
  );
}

/** How a step is: its answer has come, somebody must approve it, it is under way, or nothing came of it. */
export function state({ result, operations }: Step, running: boolean): string {
  if (result) return result.failed ? "failed" : "succeeded";
  if (operations.some(({ phase }) => phase === "waiting")) return "pending";
  return running ? "running" : "";
}

const STATES: Record<string, string> = {
  failed: "failed",
  succeeded: "done",
  pending: "waits for approval",
  running: "under way",
  "": "no answer",
};

function Stepped({ step, running, onChange }: { step: Step; running: boolean; onChange: (operation: Operation) => void }) {
  const { call, result, operations } = step;
  const how = state(step, running);
  return (
    <li class="step">
      <details>
        <summary>
          <span class={`status ${how}`}>
            <b>{call.name}</b>
            <span class={how === "succeeded" ? "sr" : "faint"}>{STATES[how]}</span>
          </span>
          <span class="mono faint clip">{short(call.arguments)}</span>
        </summary>
        <JsonBox name="Arguments" value={call.arguments} />
      </details>
      {operations.map((operation) => (
        <Card key={operation.id} operation={operation} onChange={onChange} />
      ))}
      {result && <Result name="Answer" failed={result.failed === true} text={result.text} />}
    </li>
  );
}

function Result({ name, failed, text }: { name: string; failed: boolean; text: string }) {
  return (
    <details class={`result ${failed ? "failed" : ""}`}>
      <summary>
        <span class={failed ? "code" : "faint"}>{failed ? `${name}: failed` : name}</span>
        <span class="mono faint clip">{short(text)}</span>
      </summary>
      <pre tabIndex={0}>{text.length > SHOWN ? `${text.slice(0, SHOWN)}\n… ${text.length - SHOWN} characters more: export the conversation for all of it` : text}</pre>
    </details>
  );
}

/** The answer that is being written, as far as it has come. */
export function Live({ writing }: { writing: Writing | null }) {
  return (
    <article class="said answer writing" aria-label="Answer, being written" aria-busy="true">
      {writing?.text && <Words text={writing.text} />}
      <p class="faint working">
        <span class="dots" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
        {writing?.missed ? "Writing; what this page missed comes with the whole answer" : writing?.text ? "" : "Working"}
      </p>
    </article>
  );
}

/** What of an entry is read aloud when it comes whole. */
export function aloud(entry: Entry): string {
  switch (entry.kind) {
    case "assistant":
      return [entry.text, ...(entry.calls ?? []).map(({ name }) => `Calls ${name}.`)].filter(Boolean).join(" ");
    case "tool":
      return entry.failed ? `${entry.name} failed.` : "";
    case "notice":
      return entry.text;
    default:
      return "";
  }
}
