// The frame around the views: navigation, connection, theme, keys, login.

import { useEffect, useState } from "preact/hooks";
import { api, may, setToken, token, type Role } from "./api";
import { count } from "./format";
import { focusSearch, useKeys } from "./keys";
import { hello, usePoll, useSession, wake } from "./live";
import { Dialog } from "./parts/dialog";
import { Toasts } from "./parts/toast";
import { go, link, parse, type Place } from "./router";
import { useTheme } from "./theme";
import { Actors } from "./views/actors";
import { Approvals, SHOWN, waiting } from "./views/approvals";
import { Audit } from "./views/audit";
import { Chat } from "./views/chat";
import { EnvelopeView } from "./views/envelope";
import { Envelopes } from "./views/envelopes";
import { Failures } from "./views/failures";
import { Login } from "./views/login";
import { Tools } from "./views/tools";
import { Empty } from "./parts/bits";

/** How often the gateway is asked whether it is there again. */
const RETRY_MS = 2000;
const BADGE_MS = 10_000;

interface ViewOf {
  view: string;
  title: string;
  key: string;
  /** Shown to whoever has one of these. */
  roles?: Role[];
}

const VIEWS: ViewOf[] = [
  { view: "actors", title: "Actors", key: "1" },
  { view: "envelopes", title: "Envelopes", key: "2" },
  { view: "failures", title: "Failures", key: "3" },
  { view: "tools", title: "Tools", key: "4" },
  { view: "chat", title: "Chat", key: "5", roles: ["chat"] },
  { view: "approvals", title: "Approvals", key: "6", roles: ["approve", "chat"] },
  { view: "audit", title: "Audit", key: "7", roles: ["admin"] },
];

const HELP: [string, string][] = [
  ["1 … 7", "go to a view"],
  ["/", "search"],
  ["j  k", "next, previous row"],
  ["Enter  o", "open the row"],
  ["u  Esc", "back to the list"],
  ["r", "refresh now"],
  ["Arrows", "from actor to actor in the graph"],
  ["+  −  0", "zoom the graph, fit it"],
  ["n", "new envelope, new conversation"],
  ["Enter", "send what was typed (Chat); with Shift: a new line"],
  ["t", "theme: system, light, dark"],
  ["?", "this list"],
];

function usePlace(): Place {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const onChange = (): void => setHash(location.hash);
    addEventListener("hashchange", onChange);
    return () => removeEventListener("hashchange", onChange);
  }, []);
  return parse(hash);
}

export function App() {
  const place = usePlace();
  const { connection, info, refused } = useSession();
  const [theme, turnTheme] = useTheme();
  const [help, setHelp] = useState(false);

  useEffect(() => void hello(), []);
  useEffect(() => {
    if (connection !== "away" && connection !== "starting") return;
    const timer = setInterval(() => void hello(), RETRY_MS);
    return () => clearInterval(timer);
  }, [connection]);
  useEffect(() => {
    const view = VIEWS.find(({ view }) => view === place.view);
    // A conversation is called by its title, once that is known.
    const item = place.view === "chat" ? null : place.item;
    document.title = `${item ?? view?.title ?? "Not found"} · asya`;
  }, [place.view, place.item]);

  useEffect(() => {
    // Who only talks with agents, or decides, begins there.
    if (info && !location.hash && !may(info, "read")) go(link(may(info, "chat") ? "chat" : may(info, "approve") ? "approvals" : "actors"));
  }, [info]);

  useKeys([
    { keys: ["?"], what: "help", run: () => setHelp(true) },
    { keys: ["/"], what: "search", run: focusSearch },
    { keys: ["t"], what: "theme", run: turnTheme },
    { keys: ["r"], what: "refresh", run: wake },
    ...VIEWS.map(({ view, title, key }) => ({ keys: [key], what: title, run: () => go(link(view)) })),
  ]);

  if (connection === "login") return <Login refused={refused} />;
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>
        Skip to the contents
      </a>
      <header class="top">
        <a class="brand" href={link("actors")} aria-label="asya, to the actors">
          <img src="ui/icon.svg" alt="" width="22" height="22" />
          asya
        </a>
        <nav aria-label="Views">
          {VIEWS.filter(({ roles }) => !roles || roles.some((role) => may(info, role))).map(({ view, title }) => (
            <a key={view} href={link(view)} aria-current={place.view === view ? "page" : undefined}>
              {title}
              {view === "failures" && <Badge />}
              {view === "approvals" && <Waiting />}
            </a>
          ))}
        </nav>
        <div class="top-end">
          <span class={`link ${connection}`} role="status">
            {connection === "ok" ? "live" : connection === "away" ? "gateway away" : "connecting"}
          </span>
          {info && (
            <span class="who" title={`asya-gateway ${info.version}; roles: ${info.principal.roles.join(", ")}`}>
              {info.principal.name}
            </span>
          )}
          {token() && (
            <button type="button" class="quiet" onClick={() => (setToken(null), location.reload())}>
              Log out
            </button>
          )}
          <button type="button" class="quiet" onClick={turnTheme} aria-label={`Theme: ${theme}. Change`} title={`Theme: ${theme}`}>
            <ThemeIcon theme={theme} />
          </button>
          <button type="button" class="quiet" onClick={() => setHelp(true)} aria-label="Keys" title="Keys (?)">
            ?
          </button>
        </div>
      </header>
      <div class={`away-bar ${connection === "away" ? "shown" : ""}`} role="alert">
        {connection === "away" && "The gateway does not answer. What you see is from before; this page goes on by itself when it is back."}
      </div>
      <main id="main" tabIndex={-1}>
        <View place={place} />
      </main>
      <Toasts />
      {help && (
        <Dialog title="Keys" onClose={() => setHelp(false)}>
          <dl class="keys">
            {HELP.map(([keys, what]) => (
              <div key={keys}>
                <dt>
                  {keys.split("  ").map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
          <div class="row end">
            <button type="button" onClick={() => setHelp(false)}>
              Close
            </button>
          </div>
        </Dialog>
      )}
    </>
  );
}

function View({ place }: { place: Place }) {
  switch (place.view) {
    case "actors":
      return <Actors place={place} />;
    case "envelopes":
      return place.item ? <EnvelopeView key={place.item} id={place.item} /> : <Envelopes place={place} />;
    case "failures":
      return <Failures place={place} />;
    case "tools":
      return <Tools place={place} />;
    case "chat":
      return <Chat place={place} />;
    case "approvals":
      return <Approvals />;
    case "audit":
      return <Audit />;
    default:
      return (
        <Empty title="There is no such page">
          <p>
            <a href={link("actors")}>To the actors</a>
          </p>
        </Empty>
      );
  }
}

function Badge() {
  const { data } = usePoll("badge", api.groups, BADGE_MS);
  const failures = (data?.groups ?? []).reduce((sum, group) => sum + group.count, 0);
  return failures > 0 ? <span class="badge num">{count(failures)}</span> : null;
}

/** How many operations wait for approval. */
function Waiting() {
  const { data } = usePoll("waiting", waiting, BADGE_MS);
  const many = data?.operations.length ?? 0;
  return many > 0 ? (
    <span class="badge amber num" aria-label={`${many} wait`}>
      {data?.next ? `${SHOWN}+` : many}
    </span>
  ) : null;
}

function ThemeIcon({ theme }: { theme: string }) {
  const paths: Record<string, string> = {
    system: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z",
    light: "M8 5a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM8 1v1.6M8 13.4V15M1 8h1.6M13.4 8H15M3 3l1.2 1.2M11.8 11.8 13 13M13 3l-1.2 1.2M4.2 11.8 3 13",
    dark: "M13.5 9.6A6 6 0 1 1 6.4 2.5a4.8 4.8 0 0 0 7.1 7.1z",
  };
  return (
    <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" class="icon">
      <path d={paths[theme]} />
      {theme === "system" && <path class="half" d="M8 2a6 6 0 0 1 0 12z" />}
    </svg>
  );
}
