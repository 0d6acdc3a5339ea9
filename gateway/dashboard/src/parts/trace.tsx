// The way of an envelope as bars on a common scale: waiting faint, work solid.

import type { Envelope, Hop } from "../api";
import { clock, duration } from "../format";
import { logs } from "../logs";
import { link } from "../router";

interface Line {
  actor: string;
  hop: Hop | null;
  /** Milliseconds since the envelope was made: where waiting began, where work began and ended. */
  waited: number;
  from: number;
  to: number;
}

/**
 * What is drawn: the route, each actor with its hop. Reports may be late or lost, so a hop may be missing between two
 * others. Hops that are at no place of the route, because it was changed under way, come where they happened.
 */
export function lines(envelope: Envelope, now: number): { lines: Line[]; total: number } {
  const start = Date.parse(envelope.created);
  const final = envelope.status === "succeeded" || envelope.status === "failed";
  const end = Math.max(final ? Date.parse(envelope.ended ?? envelope.updated) : now, start);
  const { actors, hops } = envelope;
  const place = (hop: Hop): number => (hop.current != null && actors[hop.current] === hop.actor ? hop.current : -1);
  const placed: { actor: string; hop: Hop | null }[] = [];
  let at = 0;
  for (const hop of hops) {
    const index = place(hop);
    for (; at < index; at++) placed.push({ actor: actors[at] ?? "", hop: null });
    if (index >= 0) at = Math.max(at, index + 1);
    placed.push({ actor: hop.actor, hop });
  }
  if (envelope.status !== "failed") for (; at < actors.length; at++) placed.push({ actor: actors[at] ?? "", hop: null });

  let before = 0;
  const drawn = placed.map(({ actor, hop }): Line => {
    if (!hop) return { actor, hop, waited: before, from: before, to: before };
    const from = Math.max(0, Date.parse(hop.started_at) - start);
    const to = Math.max(from, (hop.ended_at ? Date.parse(hop.ended_at) : end) - start);
    const line = { actor, hop, waited: Math.min(before, from), from, to };
    before = to;
    return line;
  });
  return { lines: drawn, total: Math.max(end - start, ...drawn.map(({ to }) => to), 1) };
}

export function Trace({ envelope, now, logsUrl }: { envelope: Envelope; now: number; logsUrl: string | undefined }) {
  const { lines: drawn, total } = lines(envelope, now);
  if (drawn.length === 0) return <p class="faint">No actor has reported yet.</p>;
  const part = (ms: number): string => `${((ms / total) * 100).toFixed(3)}%`;
  const running = envelope.status !== "succeeded" && envelope.status !== "failed";
  const last = drawn.findLastIndex(({ hop }) => hop !== null);
  const unknown = (index: number): string => (index > last && running ? "to come" : "no report");
  return (
    <div class="trace" role="table" aria-label="Trace">
      <div class="trace-head" role="row">
        <span role="columnheader">Actor</span>
        <span role="columnheader" class="axis num">
          <span>0</span>
          <span>{duration(total / 2)}</span>
          <span>{duration(total)}</span>
        </span>
        <span role="columnheader" class="right">
          Waited
        </span>
        <span role="columnheader" class="right">
          Took
        </span>
        <span role="columnheader" class="right">
          Runs
        </span>
      </div>
      {drawn.map(({ actor, hop, waited, from, to }, index) => (
        <div key={`${actor}${index}`} role="row" class={`trace-line ${hop?.status ?? (index > last && running ? "coming" : "passed")}`}>
          <span role="cell" class="clip">
            <a href={link("actors", actor)}>{actor}</a>
            {logsUrl && hop && (
              <a
                class="logs"
                href={logs(logsUrl, envelope.id, actor, hop.started_at, hop.ended_at)}
                target="_blank"
                rel="noreferrer"
                aria-label={`Logs of ${actor}`}
              >
                logs
              </a>
            )}
          </span>
          <span role="cell" class="lane" title={hop ? `${clock(hop.started_at)} – ${hop.ended_at ? clock(hop.ended_at) : "now"}` : ""}>
            {hop && (
              <>
                <span class="wait" style={{ left: part(waited), width: part(from - waited) }} />
                <span class="work" style={{ left: part(from), width: part(to - from) }} />
              </>
            )}
            <span class="sr">{hop?.status ?? unknown(index)}</span>
          </span>
          <span role="cell" class="num right faint">
            {hop ? duration(from - waited) : ""}
          </span>
          <span role="cell" class="num right">
            {hop ? duration(hop.duration_ms ?? to - from) : <span class="faint">{unknown(index)}</span>}
          </span>
          <span role="cell" class={`num right ${hop && hop.attempts > 1 ? "many" : "faint"}`}>
            {hop ? (hop.attempts > 1 ? `× ${hop.attempts}` : "1") : ""}
          </span>
        </div>
      ))}
    </div>
  );
}
