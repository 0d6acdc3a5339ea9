// The way of an envelope as bars on a common scale: waiting faint, work solid.

import type { Envelope, Hop } from "../api";
import { clock, duration } from "../format";
import { link } from "../router";

interface Line {
  actor: string;
  hop: Hop | null;
  /** Milliseconds since the envelope was made: where waiting began, where work began and ended. */
  waited: number;
  from: number;
  to: number;
}

/** What is drawn: the hops, then the actors of the route that are still to come. */
export function lines(envelope: Envelope, now: number): { lines: Line[]; total: number } {
  const start = Date.parse(envelope.created);
  const final = envelope.status === "succeeded" || envelope.status === "failed";
  const end = Math.max(final ? Date.parse(envelope.ended ?? envelope.updated) : now, start);
  const hops = envelope.hops;
  let before = 0;
  const drawn = hops.map((hop): Line => {
    const from = Math.max(0, Date.parse(hop.started_at) - start);
    const to = Math.max(from, (hop.ended_at ? Date.parse(hop.ended_at) : end) - start);
    const line = { actor: hop.actor, hop, waited: Math.min(before, from), from, to };
    before = to;
    return line;
  });
  const total = Math.max(end - start, ...drawn.map(({ to }) => to), 1);
  // The route from the first actor that no hop stands for.
  const left = final && envelope.status === "failed" ? [] : envelope.actors.slice(hops.length);
  const coming = left.map((actor): Line => ({ actor, hop: null, waited: before, from: before, to: before }));
  return { lines: [...drawn, ...coming], total };
}

export function Trace({ envelope, now }: { envelope: Envelope; now: number }) {
  const { lines: drawn, total } = lines(envelope, now);
  if (drawn.length === 0) return <p class="faint">No actor has reported yet.</p>;
  const part = (ms: number): string => `${((ms / total) * 100).toFixed(3)}%`;
  const running = envelope.status !== "succeeded" && envelope.status !== "failed";
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
        <div key={`${actor}${index}`} role="row" class={`trace-line ${hop?.status ?? (running ? "coming" : "passed")}`}>
          <span role="cell" class="clip">
            <a href={link("actors", actor)}>{actor}</a>
          </span>
          <span role="cell" class="lane" title={hop ? `${clock(hop.started_at)} – ${hop.ended_at ? clock(hop.ended_at) : "now"}` : ""}>
            {hop && (
              <>
                <span class="wait" style={{ left: part(waited), width: part(from - waited) }} />
                <span class="work" style={{ left: part(from), width: part(to - from) }} />
              </>
            )}
            <span class="sr">{hop?.status ?? (running ? "to come" : "no report")}</span>
          </span>
          <span role="cell" class="num right faint">
            {hop ? duration(from - waited) : ""}
          </span>
          <span role="cell" class="num right">
            {hop ? duration(hop.duration_ms ?? to - from) : <span class="faint">{running ? "to come" : "no report"}</span>}
          </span>
          <span role="cell" class={`num right ${hop && hop.attempts > 1 ? "many" : "faint"}`}>
            {hop ? (hop.attempts > 1 ? `× ${hop.attempts}` : "1") : ""}
          </span>
        </div>
      ))}
    </div>
  );
}
