// What its owner does with a conversation: rename, share, delete.

import { useState } from "preact/hooks";
import { chat, type Session } from "../chat/api";
import { names } from "../chat/told";
import { Act } from "../parts/dialog";
import { say } from "../parts/toast";

interface Props {
  session: Session;
  onClose: () => void;
}

export function Rename({ session, onClose }: Props) {
  const [title, setTitle] = useState(session.title);
  return (
    <Act
      title="Rename this conversation"
      action="Rename"
      disabled={!title.trim()}
      onClose={onClose}
      run={async () => {
        await chat.change(session.id, { title: title.trim() });
        onClose();
      }}
    >
      <label class="field">
        <span>Title</span>
        <input value={title} maxLength={200} onInput={(event) => setTitle(event.currentTarget.value)} />
      </label>
    </Act>
  );
}

export function Share({ session, onClose }: Props) {
  const [text, setText] = useState((session.shared ?? []).join("\n"));
  const all = names(text);
  return (
    <Act
      title="Share this conversation"
      action={all.length > 0 ? "Share" : "Share with nobody"}
      onClose={onClose}
      run={async () => {
        const { shared = [] } = await chat.change(session.id, { shared: all });
        say(shared.length > 0 ? `Shared with ${shared.join(", ")}` : "Shared with nobody");
        onClose();
      }}
    >
      <p>They may read all of it, speak in it, and cancel its turns. What the agent does for what they say, it does in their name.</p>
      <label class="field">
        <span>
          With <em>names as the audit log has them, one a line</em>
        </span>
        <textarea class="mono" rows={4} spellcheck={false} value={text} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
    </Act>
  );
}

export function Delete({ session, onClose, onDone }: Props & { onDone: () => void }) {
  return (
    <Act
      title="Delete this conversation?"
      action="Delete the conversation"
      danger
      onClose={onClose}
      run={async () => {
        await chat.remove(session.id);
        say("The conversation is deleted");
        onClose();
        onDone();
      }}
    >
      <p>“{session.title}” is deleted for everybody that it is shared with. What was done stays done, and in the audit log.</p>
    </Act>
  );
}
