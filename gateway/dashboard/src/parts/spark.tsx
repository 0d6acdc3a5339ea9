// How the queue of an actor went while this page was open.

import type { Actor } from "../api";
import { count } from "../format";

/** Samples kept per actor: four minutes at one every two seconds. */
const KEPT = 120;
const seen = new Map<string, number[]>();

/** Notes the depths of an answer. */
export function record<Answer extends { actors: Actor[] }>(answer: Answer): Answer {
  for (const { name, queued } of answer.actors) {
    if (queued === undefined) continue;
    const samples = seen.get(name) ?? [];
    samples.push(queued);
    if (samples.length > KEPT) samples.shift();
    seen.set(name, samples);
  }
  return answer;
}

const [WIDTH, HEIGHT] = [260, 48];

export function Spark({ name }: { name: string }) {
  const samples = seen.get(name) ?? [];
  if (samples.length === 0) return null;
  const most = Math.max(1, ...samples);
  const points = samples.map((value, index) => {
    const x = WIDTH - (samples.length - 1 - index) * (WIDTH / (KEPT - 1));
    return `${x.toFixed(1)},${(HEIGHT - 2 - (value / most) * (HEIGHT - 6)).toFixed(1)}`;
  });
  const first = points[0]?.split(",")[0] ?? "0";
  return (
    <figure class="spark">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`Queue over the last minutes, at most ${most}`}>
        {points.length > 1 && (
          <>
            <polygon points={`${first},${HEIGHT} ${points.join(" ")} ${WIDTH},${HEIGHT}`} />
            <polyline points={points.join(" ")} />
          </>
        )}
      </svg>
      <figcaption class="faint num">
        <span>queue since this page was opened</span>
        <span>most {count(Math.max(0, ...samples))}</span>
      </figcaption>
    </figure>
  );
}
