// What failed for good: by actor and reason, then one by one; sent again or discarded. Beside it what is on the broker's
// own dead-letter queues, which is looked at only when somebody asks: a look takes messages in hand.

import { useEffect, useState } from "preact/hooks";
import { api, may, type Group, type Letter, type LetterFilter } from "../api";
import { count, moment, plural, shortId } from "../format";
import { useKeys } from "../keys";
import { useNow, usePoll, useRested, useSession } from "../live";
import { Empty, Failed, Loading, When } from "../parts/bits";
import { link, go, replace, type Place } from "../router";
import { Discard, Replay, type Target } from "./replay";

const EVERY_MS = 5000;
const PAGE = 100;

export function Failures({ place }: { place: Place }) {
  const { actor, code, q } = place.query;
  const broker = place.query["source"] === "broker";
  const now = useNow();
  const groups = usePoll("groups", api.groups, EVERY_MS);
  // Counting costs nothing: no message is looked at.
  const actors = usePoll("actors", api.actors, EVERY_MS);
  const queues = (actors.data?.actors ?? []).filter(({ dead }) => (dead ?? 0) > 0);
  const set = (next: Record<string, string>): void => replace(link("failures", null, { ...place.query, ...next }));
  if (!groups.data) return groups.error ? <Failed error={groups.error} what="failures" /> : <Loading />;
  const all = groups.data.groups;
  if (all.length === 0 && queues.length === 0 && !broker)
    return (
      <Empty title="Nothing has failed">
        <p>
          Envelopes that fail for good and reach <code>error-end</code> are kept here, grouped by actor and reason, until they are replayed or
          discarded. So is the number of messages on the broker's own dead-letter queues. Those that were cancelled or ran out of time are among the <a href={link("envelopes", null, { status: "failed" })}>failed envelopes</a>.
        </p>
      </Empty>
    );
  const fits = (group: Group): boolean => (!actor || group.actor === actor) && (!code || group.code === code);
  const shown = all.filter(fits);
  const total = shown.reduce((sum, group) => sum + group.count, 0);
  return (
    <div class="failures">
      <aside class="groups" aria-label="Groups">
        <a class="group all" href={link("failures")} aria-current={!broker && !actor && !code ? "true" : undefined}>
          <span>All failures</span>
          <b class="num">{count(all.reduce((sum, group) => sum + group.count, 0))}</b>
        </a>
        {all.map((group) => (
          <a
            key={`${group.actor} ${group.code}`}
            class="group"
            href={link("failures", null, { actor: group.actor, code: group.code })}
            aria-current={!broker && actor === group.actor && (!code || code === group.code) ? "true" : undefined}
          >
            <span class="group-actor clip">{group.actor}</span>
            <b class="num">{count(group.count)}</b>
            <span class="group-code clip">{group.code}</span>
            <span class="faint right">
              <When time={group.last} now={now} />
            </span>
            <span class="group-sample clip faint">{group.sample}</span>
          </a>
        ))}
        {(queues.length > 0 || broker) && (
          <a class="group all on-broker" href={link("failures", null, { source: "broker" })} aria-current={broker && !actor ? "true" : undefined}>
            <span>On the broker</span>
            <b class="num">{count(queues.reduce((sum, { dead }) => sum + (dead ?? 0), 0))}</b>
            <span class="group-sample clip faint">dead-letter queues: no actor could handle it</span>
          </a>
        )}
        {queues.map(({ name, queue, dead }) => (
          <a
            key={name}
            class="group"
            href={link("failures", null, { source: "broker", actor: name })}
            aria-current={broker && actor === name ? "true" : undefined}
          >
            <span class="group-actor clip">{name}</span>
            <b class="num">{count(dead ?? 0)}</b>
            <span class="group-sample clip faint">{queue}-dlq</span>
          </a>
        ))}
      </aside>
      <section class="letters-side" aria-label="Dead letters">
        <div class="bar">
          <input
            data-search
            type="search"
            class="grow"
            aria-label="Search in errors"
            placeholder="Search in errors   /"
            value={q ?? ""}
            onInput={(event) => set({ q: event.currentTarget.value })}
            onKeyDown={(event) => (event.key === "Escape" || event.key === "Enter") && event.currentTarget.blur()}
          />
          {(actor || code) && (
            <span class="chips">
              {actor && <Chip what={actor} clear={() => set({ actor: "" })} />}
              {code && <Chip what={code} clear={() => set({ code: "" })} />}
            </span>
          )}
        </div>
        <Letters
          filter={{ ...(broker ? { source: "broker" } : {}), ...(actor ? { actor } : {}), ...(code ? { code } : {}), ...(q ? { q } : {}) }}
          total={q || broker ? null : total}
          now={now}
          onChanged={() => (groups.refresh(), actors.refresh())}
        />
      </section>
    </div>
  );
}

function Chip({ what, clear }: { what: string; clear: () => void }) {
  return (
    <span class="chip">
      {what}
      <button type="button" class="quiet" onClick={clear} aria-label={`Without ${what}`}>
        ×
      </button>
    </span>
  );
}

interface Props {
  filter: LetterFilter;
  /** How many there are, where that is known without asking. */
  total: number | null;
  now: number;
  onChanged: () => void;
}

function Letters(props: Props) {
  const { info } = useSession();
  const key = useRested(JSON.stringify(props.filter));
  const filter = JSON.parse(key) as LetterFilter;
  const broker = filter.source === "broker";
  // Of the broker once, and when somebody says so: each look takes the messages in hand.
  const first = usePoll(`letters ${key}`, (signal) => api.letters(filter, undefined, PAGE, signal), broker ? 0 : EVERY_MS);
  const [rest, setRest] = useState<{ key: string; letters: Letter[]; next: string | null }>({ key, letters: [], next: null });
  const [chosen, setChosen] = useState<Set<string>>(new Set());
  const [at, setAt] = useState(0);
  const [target, setTarget] = useState<{ act: "replay" | "discard"; target: Target } | null>(null);
  useEffect(() => {
    setRest({ key, letters: [], next: null });
    setChosen(new Set());
    setAt(0);
  }, [key]);

  const known = new Set(first.data?.letters.map(({ id }) => id));
  const further = rest.key === key ? rest.letters.filter(({ id }) => !known.has(id)) : [];
  const letters = [...(first.data?.letters ?? []), ...further];
  const next = further.length > 0 ? rest.next : (first.data?.next ?? null);
  const admin = may(info, "admin");
  const current = letters[at];
  const toggle = (id: string): void => {
    const changed = new Set(chosen);
    if (!changed.delete(id)) changed.add(id);
    setChosen(changed);
  };
  const ask = (act: "replay" | "discard", given: Target): void => setTarget({ act, target: given });
  const whole: Target = { filter, total: props.total, everything: Object.keys(filter).every((name) => name === "source") };

  useKeys([
    { keys: ["j", "ArrowDown"], what: "next", run: () => setAt(Math.min(letters.length - 1, at + 1)) },
    { keys: ["k", "ArrowUp"], what: "previous", run: () => setAt(Math.max(0, at - 1)) },
    { keys: ["x"], what: "choose", run: () => current && toggle(current.id) },
    { keys: ["o", "Enter"], what: "open", run: () => current?.envelope && go(link("envelopes", current.envelope)) },
    { keys: ["p"], what: "replay", run: () => current && admin && ask("replay", { letter: current }) },
    { keys: ["Escape"], what: "no filter", run: () => replace(link("failures")) },
  ]);
  useEffect(() => document.querySelector(".letter.at")?.scrollIntoView({ block: "nearest" }), [at]);

  if (!first.data) return first.error ? <Failed error={first.error} what="dead letters" /> : <Loading />;
  const told = broker && (
    <div class="bar told">
      <span class="faint grow">
        On the broker's own dead-letter queues, as this page found them. A look takes nothing away.
      </span>
      <button type="button" onClick={first.refresh}>
        Look again
      </button>
      {(first.data.warnings ?? []).map((warning) => (
        <p key={warning} class="problem" role="alert">
          {warning}
        </p>
      ))}
    </div>
  );
  if (letters.length === 0)
    return (
      <>
        {told}
        <Empty title="Nothing fits">
          <p>
            <a href={link("failures")}>Show all failures</a>
          </p>
        </Empty>
      </>
    );
  const many = chosen.size > 0;
  const picked: Target = { ids: [...chosen] };
  return (
    <>
      {told}
      <div class="bar acts">
        {admin ? (
          <>
            <label class="check">
              <input
                type="checkbox"
                checked={many && letters.every(({ id }) => chosen.has(id))}
                onChange={(event) => setChosen(event.currentTarget.checked ? new Set(letters.map(({ id }) => id)) : new Set())}
              />
              {many ? `${count(chosen.size)} chosen` : "Choose all shown"}
            </label>
            <button type="button" class="primary" onClick={() => ask("replay", many ? picked : whole)}>
              {many ? `Replay ${count(chosen.size)}…` : props.total === null ? "Replay all that fit…" : `Replay all ${count(props.total)}…`}
            </button>
            <button type="button" onClick={() => ask("discard", many ? picked : whole)}>
              {many ? `Discard ${count(chosen.size)}…` : "Discard…"}
            </button>
          </>
        ) : (
          <span class="faint">Replaying needs the role admin.</span>
        )}
      </div>
      <ul class="letters scroll">
        {letters.map((letter, index) => (
          <li key={letter.id} class={`letter ${index === at ? "at" : ""}`} onClick={() => setAt(index)}>
            {admin && (
              <input type="checkbox" checked={chosen.has(letter.id)} aria-label={`Choose ${letter.envelope ?? letter.id}`} onChange={() => toggle(letter.id)} />
            )}
            <div class="letter-what">
              <p class="letter-head">
                {letter.envelope ? (
                  <a class="mono" href={link("envelopes", letter.envelope)}>
                    {shortId(letter.envelope)}
                  </a>
                ) : (
                  <span class="faint">no envelope</span>
                )}
                <span>{letter.actor}</span>
                <span class="code">{letter.code}</span>
                <span class="faint">{plural(letter.attempts, "run")}</span>
                {letter.since && (
                  <span class="faint" title={moment(letter.since)}>
                    <When time={letter.since} now={props.now} />
                  </span>
                )}
                <span class="faint source">{letter.source}</span>
              </p>
              <pre>{letter.error}</pre>
            </div>
            {admin && (
              <button type="button" class="small" onClick={() => ask("replay", { letter })}>
                Replay…
              </button>
            )}
          </li>
        ))}
        {next && (
          <li class="more">
            <button
              type="button"
              onClick={() =>
                void api
                  .letters(filter, next, PAGE)
                  .then((page) => setRest({ key, letters: [...further, ...page.letters], next: page.next ?? null }))
                  .catch(() => undefined)
              }
            >
              Show more
            </button>
          </li>
        )}
      </ul>
      {target?.act === "replay" && (
        <Replay target={target.target} onClose={() => setTarget(null)} onDone={() => (setChosen(new Set()), first.refresh(), props.onChanged())} />
      )}
      {target?.act === "discard" && (
        <Discard target={target.target} onClose={() => setTarget(null)} onDone={() => (setChosen(new Set()), first.refresh(), props.onChanged())} />
      )}
    </>
  );
}
