// All that waits for approval. What somebody decides meanwhile stays, with the decision, until the view is left.

import { useEffect, useState } from "preact/hooks";
import { may, Problem } from "../api";
import { approvals, type Operation } from "../chat/api";
import { Card } from "../chat/card";
import { useSession, usePoll } from "../live";
import { Empty, Failed, Loading } from "../parts/bits";
import { link } from "../router";

const EVERY_MS = 3000;
export const SHOWN = 100;

export const waiting = (signal?: AbortSignal) => approvals.waiting(SHOWN, signal);

/** What was shown before and waits no more has become something: what that is, is asked for one by one. */
export function merged(before: Operation[], waiting: Operation[]): { all: Operation[]; gone: string[] } {
  const now = new Map(waiting.map((operation) => [operation.id, operation]));
  const known = new Set(before.map(({ id }) => id));
  const gone = before.filter(({ id, phase }) => phase === "waiting" && !now.has(id)).map(({ id }) => id);
  // A card that has not changed is the same object: nothing is drawn anew under somebody's hands.
  const kept = before.map((old) => (old.phase === "waiting" && now.get(old.id)?.hash !== old.hash ? (now.get(old.id) ?? old) : old));
  return { all: [...waiting.filter(({ id }) => !known.has(id)), ...kept], gone };
}

export function Approvals() {
  const { info } = useSession();
  const { data, error } = usePoll("approvals", waiting, EVERY_MS);
  const [all, setAll] = useState<Operation[] | null>(null);
  const learn = (operation: Operation): void => setAll((before) => (before ?? []).map((old) => (old.id === operation.id ? operation : old)));
  useEffect(() => {
    if (!data) return;
    const next = merged(all ?? [], data.operations);
    setAll(next.all);
    for (const id of next.gone) {
      void approvals.look(id).then(learn, (problem: unknown) => {
        // Its conversation was deleted. Whatever else it is: the next round asks again.
        if (problem instanceof Problem && problem.status === 404) setAll((before) => (before ?? []).filter((old) => old.id !== id));
      });
    }
  }, [data]);
  if (!data || !all) return error ? <Failed error={error} what="approvals" /> : <Loading />;
  if (all.length === 0)
    return (
      <Empty title="Nothing waits for approval">
        <p>
          What an agent changes waits here until somebody with the role <code>approve</code> decides, or its time is over. While it waits,
          nothing runs.
        </p>
        {may(info, "chat") && (
          <p>
            <a href={link("chat")}>To the conversations</a>
          </p>
        )}
      </Empty>
    );
  return (
    <div class="scroll page approvals">
      <h1>Approvals</h1>
      {data.next && <p class="faint">The newest {SHOWN} of those that wait.</p>}
      {!may(info, "approve") && <p class="faint">Those of your conversations. Deciding needs the role approve.</p>}
      {all.map((operation) => (
        <Card key={operation.id} operation={operation} linked onChange={learn} />
      ))}
    </div>
  );
}
