// Who sent, cancelled and replayed.

import { api } from "../api";
import { moment } from "../format";
import { usePoll } from "../live";
import { Empty, Failed, Loading } from "../parts/bits";
import { link } from "../router";

const EVERY_MS = 5000;
const SHOWN = 200;

export function Audit() {
  const { data, error } = usePoll("audit", (signal) => api.audit(undefined, SHOWN, signal), EVERY_MS);
  if (!data) return error ? <Failed error={error} what="the audit log" /> : <Loading />;
  if (data.entries.length === 0)
    return (
      <Empty title="Nobody has done anything yet">
        <p>What people and programs send, cancel and replay is listed here.</p>
      </Empty>
    );
  return (
    <div class="scroll page">
      <h1>Audit</h1>
      <p class="faint">The last {SHOWN} acts, newest first.</p>
      <table class="plain">
        <thead>
          <tr>
            <th>When</th>
            <th>Who</th>
            <th>What</th>
            <th>Envelope</th>
            <th>More</th>
          </tr>
        </thead>
        <tbody>
          {data.entries.map((entry) => (
            <tr key={entry.number}>
              <td class="num">{moment(entry.at)}</td>
              <td>{entry.who}</td>
              <td>{entry.action}</td>
              <td class="mono">{entry.envelope && <a href={link("envelopes", entry.envelope)}>{entry.envelope}</a>}</td>
              <td class="mono faint">{entry.detail == null ? "" : JSON.stringify(entry.detail)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
