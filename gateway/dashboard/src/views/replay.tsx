// Sending dead letters again, with or without changes, and discarding them. Both ask first. What is on a broker's queue
// goes back as it is.

import { useEffect, useState } from "preact/hooks";
import { api, may, type Json, type Letter, type LetterFilter, type Replayed, type Selection } from "../api";
import { plural, shortId } from "../format";
import { useSession } from "../live";
import { Act, message } from "../parts/dialog";
import { EditFields, readEdits, type Edits } from "../parts/edit";
import { JsonBox } from "../parts/json";
import { say } from "../parts/toast";
import { original } from "../letter";
import { link } from "../router";

export type Target =
  | { letter: Letter }
  | { ids: string[] }
  | { filter: LetterFilter; total: number | null; everything: boolean };

/** The gateway replays a bounded number at a time; this many rounds at most, should new ones come all the while. */
const ROUNDS = 1000;

function selection(target: Target): Selection {
  if ("letter" in target) return { ids: [target.letter.id] };
  return "ids" in target ? { ids: target.ids } : { filter: target.filter };
}

/** Whether it is on the broker's own queues. A list has letters of one place. */
function onBroker(target: Target): boolean {
  if ("letter" in target) return target.letter.source === "broker";
  return "ids" in target ? target.ids.some((id) => id.startsWith("broker:")) : target.filter.source === "broker";
}

function named(target: Target): string {
  const what = onBroker(target) ? "message" : "failure";
  if ("letter" in target) return target.letter.envelope ? shortId(target.letter.envelope) : "a message that is no envelope";
  if ("ids" in target) return plural(target.ids.length, what);
  const words = [target.filter.actor && `of ${target.filter.actor}`, target.filter.code, target.filter.q && `with “${target.filter.q}”`];
  const which = words.filter(Boolean).join(", ");
  const many = target.total === null ? `all ${what}s` : plural(target.total, what);
  return which ? `${many} ${which}` : target.total === null ? many : `all ${many}`;
}

interface Props {
  target: Target;
  onClose: () => void;
  onDone: () => void;
}

export function Replay({ target, onClose, onDone }: Props) {
  const { info } = useSession();
  const one = "letter" in target ? target.letter : null;
  const broker = onBroker(target);
  const seen = may(info, "payload");
  const editable = seen && !broker;
  const [body, setBody] = useState<Json | undefined>(undefined);
  const [edits, setEdits] = useState<Edits>({ route: "", payload: "" });
  const [before, setBefore] = useState<Edits | null>(one && editable ? null : edits);
  const [note, setNote] = useState("");
  const [sure, setSure] = useState(false);
  const [done, setDone] = useState<Replayed | null>(null);

  useEffect(() => {
    if (!one || !seen) return;
    const controller = new AbortController();
    api
      .letter(one.id, controller.signal)
      .then((letter) => {
        if (broker) return setBody(letter.body);
        const first = original(letter.body);
        const found = {
          route: first?.route.join(", ") ?? "",
          payload: first?.payload === undefined ? "" : JSON.stringify(first.payload, null, 2),
        };
        if (!first || first.payload === undefined) setNote("What failed was not kept whole: give a payload.");
        setEdits(found);
        setBefore(found);
      })
      .catch((problem: unknown) => {
        if (controller.signal.aborted) return;
        setNote(`Its contents could not be read: ${message(problem)}`);
        setBefore({ route: "", payload: "" });
      });
    return () => controller.abort();
  }, [one?.id]);

  const read = readEdits(edits);
  const otherRoute = before !== null && edits.route.trim() !== before.route.trim() && read.route.length > 0;
  const otherPayload = before !== null && edits.payload !== before.payload && edits.payload.trim() !== "";
  const everything = "filter" in target && target.everything;
  const wrong = (otherPayload && read.problem !== null) || before === null || (everything && !sure);

  const run = async (): Promise<void> => {
    const changes = { ...(otherRoute ? { route: read.route } : {}), ...(otherPayload ? { payload: read.payload } : {}) };
    const sum: Replayed = { replayed: 0, ids: [], refused: [], more: false };
    for (let round = 0; round < ROUNDS; round++) {
      const part = await api.replay(selection(target), changes);
      sum.replayed += part.replayed;
      sum.ids.push(...part.ids);
      sum.refused.push(...part.refused);
      sum.gone = (sum.gone ?? 0) + (part.gone ?? 0);
      sum.warnings = [...(sum.warnings ?? []), ...(part.warnings ?? [])];
      if (!part.more || part.replayed === 0 || !("filter" in target)) break;
    }
    onDone();
    if (sum.refused.length > 0 || sum.gone || sum.warnings?.length) return setDone(sum);
    const [id] = sum.ids;
    if (broker) {
      say(`${plural(sum.replayed, "message")} put back`, one?.envelope ? link("envelopes", one.envelope) : undefined);
      return onClose();
    }
    say(`${plural(sum.replayed, "envelope")} sent again`, sum.ids.length === 1 && id ? link("envelopes", id) : link("envelopes"));
    onClose();
  };

  if (done)
    return (
      <Act title="Replay" action="Close" run={async () => onClose()} onClose={onClose}>
        <p>
          {broker ? `${plural(done.replayed, "message")} put back` : `${plural(done.replayed, "envelope")} sent again`}
          {done.gone ? `, ${plural(done.gone, "message")} not there any more` : ""}
          {done.refused.length > 0 ? `, ${plural(done.refused.length, "failure")} refused:` : "."}
        </p>
        {(done.warnings ?? []).map((warning) => (
          <p key={warning} class="problem" role="alert">
            {warning}
          </p>
        ))}
        <ul class="refused">
          {done.refused.slice(0, 20).map(({ id, reason }) => (
            <li key={id}>
              <code>{shortId(id)}</code> {reason}
            </li>
          ))}
        </ul>
      </Act>
    );
  return (
    <Act
      title={`Replay ${named(target)}`}
      action={"filter" in target || "ids" in target ? "Replay" : broker ? "Put back" : "Send again"}
      wide={one !== null}
      disabled={wrong}
      run={run}
      onClose={onClose}
    >
      {broker ? (
        <p class="failed-why">
          {one ? "It goes" : "Each goes"} back to the queue that it was on, as it is, with fresh counters, and leaves the dead-letter queue when the
          broker has confirmed that: none is lost. A replay that is cut off may send one twice.
        </p>
      ) : one ? (
        <p class="failed-why">
          Failed at <b>{one.actor}</b> with <span class="code">{one.code}</span> after {plural(one.attempts, "run")}. It is sent again as a new
          envelope, from the actor where it failed on{otherRoute ? ", along the new route" : ""}.
        </p>
      ) : (
        <p>Each is sent again as a new envelope, from the actor where it failed on, with the payload that it had there.</p>
      )}
      {note && <p class="problem">{note}</p>}
      {broker ? (
        body !== undefined && <JsonBox name="The message" value={body} />
      ) : one ? (
        editable ? (
          <EditFields edits={edits} onChange={setEdits} />
        ) : (
          <p class="faint">It goes with the payload that it had; editing needs the role payload.</p>
        )
      ) : (
        <details>
          <summary>With changes</summary>
          <p class="faint">What is given here holds for every one of them. Left empty, each keeps its own.</p>
          <EditFields edits={edits} onChange={setEdits} payloadHint="for all of them" />
        </details>
      )}
      {everything && (
        <label class="check">
          <input type="checkbox" checked={sure} onChange={(event) => setSure(event.currentTarget.checked)} />
          Yes, every {broker ? "message" : "failure"} of every actor
        </label>
      )}
    </Act>
  );
}

export function Discard({ target, onClose, onDone }: Props) {
  const [sure, setSure] = useState(false);
  return (
    <Act
      title={`Discard ${named(target)}?`}
      action="Discard"
      danger
      disabled={!sure}
      onClose={onClose}
      run={async () => {
        const { deleted, warnings } = await api.discard(selection(target));
        say([`${plural(deleted, onBroker(target) ? "message" : "failure")} discarded`, ...(warnings ?? [])].join("; "));
        onDone();
        onClose();
      }}
    >
      <p>They are deleted with their payloads and cannot be replayed any more. The envelopes stay listed as failed.</p>
      <label class="check">
        <input type="checkbox" checked={sure} onChange={(event) => setSure(event.currentTarget.checked)} />
        Yes, delete them
      </label>
    </Act>
  );
}
