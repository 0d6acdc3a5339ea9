// What is told of actors beyond their numbers.

import type { Actor } from "./api";

/** Words of an operator for an actor that does not work as it should; others are ways of being well. */
const TROUBLE = /Error$|^(Degraded|PendingResources|failing)$/;

/** Whether somebody should look at it. */
export function ails(actor: Actor): boolean {
  return TROUBLE.test(actor.status ?? "");
}

/** Each with a name of its own: of several of one name the first, to which envelopes are sent, keeps it. */
export function distinct<Answer extends { actors: Actor[] }>(answer: Answer): Answer {
  const seen = new Set<string>();
  const actors = answer.actors.map((actor) => {
    const name = seen.has(actor.name) ? `${actor.namespace ?? ""}/${actor.name}` : actor.name;
    seen.add(name);
    return name === actor.name ? actor : { ...actor, name };
  });
  return { ...answer, actors };
}

/** Ready and wanted replicas, and between which numbers they may be. */
export function replicas(actor: Actor): string | undefined {
  const { ready, desired, min_replicas: min, max_replicas: max } = actor;
  if (ready === undefined && desired === undefined) return undefined;
  const now = `${ready ?? 0} of ${desired ?? ready}`;
  return max === undefined ? now : `${now}, scaled ${min ?? 0} to ${max}`;
}
