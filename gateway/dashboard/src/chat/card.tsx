// An operation that waits for approval, or did: what would be done, how bad it can get, who asked, and the decision.

import { useState } from "preact/hooks";
import { may, Problem } from "../api";
import { moment } from "../format";
import { useNow, useSession, wake } from "../live";
import { JsonBox } from "../parts/json";
import { message } from "../parts/dialog";
import { memo } from "../parts/memo";
import { link } from "../router";
import { approvals, type Operation, type Verdict } from "./api";
import { left, review, verdict, whole } from "./told";

interface Props {
  operation: Operation;
  /** The way to its conversation is shown. */
  linked?: boolean;
  onChange: (operation: Operation) => void;
}

export const Card = memo((props: Props) => <Shown {...props} />, (before, after) => before.operation === after.operation);

function Shown({ operation, linked, onChange }: Props) {
  const { info } = useSession();
  // It outlives the form: who comes second is told so beside what the first decided.
  const [problem, setProblem] = useState("");
  const [seen] = useState(operation.hash);
  const waits = operation.phase === "waiting";
  const all = whole(operation);
  return (
    <section class={`card ${waits ? "waits" : ""}`} aria-label={`Approval: ${operation.summary}`}>
      <header>
        <h3>{operation.summary}</h3>
        <span class={`risk ${operation.risk}`}>{operation.risk} risk</span>
      </header>
      <p class="faint card-facts">
        <span>asked for by {operation.requester}</span>
        <span>done by {operation.actor}</span>
        {waits && <Expiry time={operation.expires} />}
        {linked && may(info, "chat") && <a href={link("chat", operation.session)}>Its conversation</a>}
      </p>
      {waits && operation.hash !== seen && (
        <p class="problem" role="alert">
          This is not what it was when you opened it: read it again.
        </p>
      )}
      {review(operation).map(({ text, bad }) => (
        <p key={text} class={bad ? "problem" : "faint"}>
          {text}
        </p>
      ))}
      {operation.diff && <Diff text={operation.diff} />}
      <details open={waits && all}>
        <summary>Exactly what is done</summary>
        <JsonBox name={`${operation.verb} ${operation.target}`} value={operation.operation} />
        <p class="faint mono card-hash">SHA-256 {operation.hash}</p>
      </details>
      {waits ? (
        <Decide operation={operation} onChange={onChange} onProblem={setProblem} />
      ) : (
        <p class={`card-end ${operation.phase}`}>{verdict(operation)}</p>
      )}
      {problem && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {operation.outcome && <p class={operation.outcome.ok ? "card-outcome" : "problem card-outcome"}>{operation.outcome.text}</p>}
    </section>
  );
}

function Expiry({ time }: { time: string }) {
  const now = useNow();
  return <span title={moment(time)}>{left(time, now)}</span>;
}

function Diff({ text }: { text: string }) {
  const kinds: Record<string, string> = { "+": "added", "-": "gone", "@": "at" };
  return (
    <pre class="diff" tabIndex={0} aria-label="What changes">
      {text.replace(/\n$/, "").split("\n").map((line, at) => (
        <span key={at} class={/^(\+\+\+|---) /.test(line) ? "at" : kinds[line[0] ?? ""]}>
          {line}
          {"\n"}
        </span>
      ))}
    </pre>
  );
}

/** The decision, offered to whoever may take it. */
function Decide(props: { operation: Operation; onChange: (operation: Operation) => void; onProblem: (problem: string) => void }) {
  const { operation, onChange, onProblem } = props;
  const { info } = useSession();
  const [comment, setComment] = useState("");
  const [busy, setBusy] = useState<Verdict | null>(null);
  if (!info) return null;
  if (!may(info, "approve")) return <p class="faint">Somebody with the role approve decides. This page shows when they have.</p>;
  const own = operation.four_eyes === true && operation.requester === info.principal.name;
  const decide = async (verdict: Verdict): Promise<void> => {
    if (busy) return;
    setBusy(verdict);
    onProblem("");
    try {
      onChange(await approvals.decide(operation, verdict, comment.trim()));
    } catch (refused) {
      onProblem(message(refused));
      // Somebody else was quicker, or the time is over: the card shows how it is.
      if (refused instanceof Problem && refused.status === 409) await approvals.look(operation.id).then(onChange, () => undefined);
    } finally {
      setBusy(null);
      wake();
    }
  };
  return (
    <form class="decide" onSubmit={(event) => event.preventDefault()}>
      <label class="field grow">
        <span class="sr">Comment</span>
        <input
          value={comment}
          maxLength={4096}
          placeholder="Comment (the agent reads why not)"
          onInput={(event) => setComment(event.currentTarget.value)}
        />
      </label>
      <button type="button" class="danger" disabled={busy !== null} onClick={() => void decide("reject")}>
        {busy === "reject" ? "Rejecting…" : "Reject"}
      </button>
      {own ? (
        <span class="faint">Somebody else than who asked must approve it.</span>
      ) : (
        <button type="button" class="primary" disabled={busy !== null} onClick={() => void decide("approve")}>
          {busy === "approve" ? "Approving…" : "Approve"}
        </button>
      )}
    </form>
  );
}
