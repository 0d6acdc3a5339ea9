// Links to logs, which the gateway's operator has told the place of.

/** Sidecars and handlers may write a little before and after what they report. */
const MARGIN_MS = 60_000;

/** The address with id, actor and times filled in; the actor is empty where the whole way is meant. */
export function logs(template: string, id: string, actor: string, from: string, to: string | null | undefined): string {
  const values: Record<string, string> = {
    id,
    actor,
    from: String(Date.parse(from) - MARGIN_MS),
    to: String((to ? Date.parse(to) : Date.now()) + MARGIN_MS),
  };
  return template.replace(/\{(id|actor|from|to)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
}
