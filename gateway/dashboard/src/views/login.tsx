// A bearer token, kept for this tab only.

import { useState } from "preact/hooks";
import { setToken } from "../api";
import { hello } from "../live";

export function Login(props: { refused: boolean }) {
  const [value, setValue] = useState("");
  const [busy, setBusy] = useState(false);
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setToken(value.trim());
    await hello();
    setBusy(false);
  };
  return (
    <main class="login">
      <form onSubmit={(event) => void submit(event)}>
        <img src="ui/icon.svg" alt="" width="40" height="40" />
        <h1>asya</h1>
        <p>This gateway asks who you are. Give it a bearer token; the page keeps it until this tab is closed.</p>
        <label class="field">
          <span>Token</span>
          <input
            type="password"
            class="mono"
            autocomplete="off"
            autofocus
            value={value}
            aria-describedby="login-problem"
            onInput={(event) => setValue(event.currentTarget.value)}
          />
        </label>
        <p id="login-problem" class="problem-line" role="alert">
          {props.refused && !busy ? "The gateway does not know this token, or it has expired." : ""}
        </p>
        <button type="submit" class="primary" disabled={busy || !value.trim()}>
          Log in
        </button>
      </form>
    </main>
  );
}
