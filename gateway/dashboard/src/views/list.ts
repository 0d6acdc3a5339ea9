// The envelopes that a list holds: pages behind each other, the newest merged in, kept while one is looked at.

import type { Summary } from "../api";

export interface List {
  items: Summary[];
  /** Where the next page begins; `null` behind the last one, `undefined` before the first. */
  next: string | null | undefined;
  /** Known to be new, not shown yet because somebody reads further down. */
  fresh: Summary[];
}

export const EMPTY: List = { items: [], next: undefined, fresh: [] };

/** Behind the end of the list. */
export function append(list: List, page: { envelopes: Summary[]; next?: string | null }): List {
  const known = new Set(list.items.map(({ id }) => id));
  return { ...list, items: [...list.items, ...page.envelopes.filter(({ id }) => !known.has(id))], next: page.next ?? null };
}

/**
 * Merges the first page, asked for again. With `still`, rows keep their places: known ones are brought up to date,
 * new ones wait in `fresh`.
 */
export function merge(list: List, page: { envelopes: Summary[]; next?: string | null }, still: boolean): List {
  const { envelopes } = page;
  if (list.next === undefined) return { items: envelopes, next: page.next ?? null, fresh: [] };
  const given = new Map(envelopes.map((envelope) => [envelope.id, envelope]));
  const known = new Set(list.items.map(({ id }) => id));
  if (still) {
    return {
      ...list,
      items: list.items.map((item) => given.get(item.id) ?? item),
      fresh: envelopes.filter(({ id }) => !known.has(id)),
    };
  }
  if (page.next == null) return { items: envelopes, next: null, fresh: [] };
  // More has come than a page holds: what lies between is not known, so the list begins anew.
  if (!envelopes.some(({ id }) => known.has(id))) return { items: envelopes, next: page.next, fresh: [] };
  const oldest = envelopes[envelopes.length - 1] as Summary;
  const behind = list.items.findIndex(({ id }) => id === oldest.id);
  // Its last one was not known: rows that have left the filter are gone from in between.
  const rest =
    behind >= 0 ? list.items.slice(behind + 1) : list.items.filter((item) => !given.has(item.id) && item.created < oldest.created);
  return { items: [...envelopes, ...rest], next: list.next === null && rest.length === 0 ? page.next : list.next, fresh: [] };
}
