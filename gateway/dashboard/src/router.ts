// Addresses behind the "#": every view can be linked to, and the back button works.

export interface Place {
  /** The view: actors, envelopes, failures, tools, chat, approvals, audit. */
  view: string;
  /** What is looked at in it, decoded. */
  item: string | null;
  query: Record<string, string>;
}

export function parse(hash: string): Place {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const slash = path.indexOf("/");
  const view = slash < 0 ? path : path.slice(0, slash);
  let item: string | null = slash < 0 ? null : path.slice(slash + 1);
  try {
    item = item && decodeURIComponent(item);
  } catch {
    // A stray "%" in a typed address: taken as it stands.
  }
  return { view: view || "actors", item: item || null, query: Object.fromEntries(new URLSearchParams(search)) };
}

export function link(view: string, item?: string | null, query: Record<string, string | undefined> = {}): string {
  const filled = Object.entries(query).filter((pair): pair is [string, string] => Boolean(pair[1]));
  const search = new URLSearchParams(filled).toString();
  return `#/${view}${item ? `/${encodeURIComponent(item)}` : ""}${search && `?${search}`}`;
}

export function go(hash: string): void {
  location.hash = hash;
}

/** Changes the address without a step in the history: for filters that follow the typing. */
export function replace(hash: string): void {
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}
