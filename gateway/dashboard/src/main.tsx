import { render } from "preact";
import "./style/base.css";
import "./style/parts.css";
import "./style/views.css";
import "./style/chat.css";
import "./style/words.css";
import "./style/card.css";
import { App } from "./app";

render(<App />, document.getElementById("app") as HTMLElement);
