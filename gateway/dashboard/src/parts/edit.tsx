// Route and payload as text fields, checked while somebody types.

import { useState } from "preact/hooks";
import type { Json } from "../api";

export interface Edits {
  route: string;
  payload: string;
}

export interface Read {
  route: string[];
  payload: Json;
  problem: string | null;
}

export function readEdits({ route, payload }: Edits): Read {
  const actors = route.split(/[\s,→]+/).filter(Boolean);
  try {
    return { route: actors, payload: JSON.parse(payload) as Json, problem: null };
  } catch (error) {
    return { route: actors, payload: null, problem: (error as Error).message };
  }
}

export function useEdits(route: string[], payload: Json | undefined): [Edits, (edits: Edits) => void] {
  return useState<Edits>({
    route: route.join(", "),
    payload: payload === undefined ? "" : JSON.stringify(payload, null, 2),
  });
}

export function EditFields(props: { edits: Edits; onChange: (edits: Edits) => void; payloadHint?: string }) {
  const { edits, onChange } = props;
  const { problem } = edits.payload.trim() ? readEdits(edits) : { problem: null };
  return (
    <>
      <label class="field">
        <span>Route</span>
        <input
          class="mono"
          value={edits.route}
          spellcheck={false}
          placeholder="actors in order, with commas"
          onInput={(event) => onChange({ ...edits, route: event.currentTarget.value })}
        />
      </label>
      <label class="field">
        <span>Payload, JSON{props.payloadHint && <em> {props.payloadHint}</em>}</span>
        <textarea
          class="mono"
          rows={12}
          value={edits.payload}
          spellcheck={false}
          aria-invalid={problem !== null}
          aria-describedby="payload-problem"
          onInput={(event) => onChange({ ...edits, payload: event.currentTarget.value })}
        />
        <small id="payload-problem" class="problem-line">
          {problem ?? ""}
        </small>
      </label>
    </>
  );
}
