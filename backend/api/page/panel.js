// The document behind a source, opened at the passage. Beside the answer on a wide screen, over it on a small one.

import { documentText } from "./api.js";
import { byId, h } from "./dom.js";
import { dated, t } from "./i18n.js";
import { problemWords } from "./problem.js";
import { place } from "./sources.js";

const AROUND = 1500; // characters shown on each side at first
const MORE = 6000;
const WIDE = matchMedia("(min-width: 1100px)");

/** Where the `n`th character (code point, as the server counts) of `text` is in UTF-16; `from`: a known [n, index]. */
export function indexOfCharacter(text, n, [count, index] = [0, 0]) {
  for (; count < n && index < text.length; count++) {
    const unit = text.charCodeAt(index);
    index += unit >= 0xd800 && unit <= 0xdbff ? 2 : 1;
  }
  return Math.min(index, text.length);
}

/** The start of the line that holds `index`, or of the next one when `forward`; the ends of the text count. */
function lineBreak(text, index, forward) {
  if (index <= 0) return 0;
  if (index >= text.length) return text.length;
  const at = forward ? text.indexOf("\n", index) : text.lastIndexOf("\n", index);
  const near = Math.abs(at - index) < AROUND;
  return at < 0 || !near ? index : at + (forward ? 0 : 1);
}

export class SourcePanel {
  #dialog = byId("source");
  #body = byId("source-body");
  #opener = null;
  #source = null;
  #cache = { key: "", text: "", date: "" };

  constructor() {
    this.#dialog.querySelector(".close").addEventListener("click", () => this.close());
    this.#dialog.addEventListener("close", () => this.#closed());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.close());
    this.#dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    });
    WIDE.addEventListener("change", () => this.close());
  }

  /** The focus goes back at once: by the time of the event the reader may have put it elsewhere. */
  close() {
    if (!this.#dialog.open) return;
    this.#dialog.close();
    if (this.#opener?.isConnected) this.#opener.focus({ preventScroll: true });
  }

  async open(source, opener) {
    this.#release();
    this.#source = source;
    this.#opener = opener;
    opener.setAttribute("aria-expanded", "true");
    byId("source-number").textContent = t("source.title", { n: source.n });
    byId("source-title").textContent = source.title || source.name;
    byId("source-place").textContent = place(source);
    this.#body.replaceChildren(h("p", { class: "quiet" }, t("source.loading")));
    this.#show();
    try {
      const { text, date } = await this.#read(source);
      if (source !== this.#source) return;
      if (date) byId("source-place").textContent = [place(source), t("docs.dated", { date: dated(date) })].filter(Boolean).join(" · ");
      this.#paint(text);
    } catch (problem) {
      if (source !== this.#source) return;
      const words = problem.status === 404 ? t("source.gone") : problemWords(problem);
      this.#body.replaceChildren(h("p", { class: "note" }, words));
    }
  }

  #show() {
    if (!this.#dialog.open) {
      if (WIDE.matches) this.#dialog.show();
      else this.#dialog.showModal();
    }
    document.documentElement.classList.toggle("beside", WIDE.matches);
    byId("source-title").focus({ preventScroll: true });
  }

  #closed() {
    document.documentElement.classList.remove("beside");
    this.#source = null;
    this.#cache = { key: "", text: "", date: "" };
    this.#release();
  }

  #release() {
    this.#opener?.setAttribute("aria-expanded", "false");
  }

  async #read({ document: id, revision }) {
    const key = `${id} ${revision}`;
    if (this.#cache.key !== key) this.#cache = { key, ...(await documentText(id, revision)) };
    return this.#cache;
  }

  #paint(text) {
    const start = indexOfCharacter(text, this.#source.start);
    const end = indexOfCharacter(text, this.#source.end, [this.#source.start, start]);
    const mark = h("mark", { tabindex: "-1", "aria-label": t("source.passage") }, text.slice(start, end));
    const before = this.#edge(text, start, -1);
    const after = this.#edge(text, end, 1);
    this.#body.replaceChildren(before.button, h("div", { class: "page" }, before.node, mark, after.node), after.button);
    mark.scrollIntoView({ block: "start" });
  }

  /** The text on one side of the passage, and the button that shows more of it. */
  #edge(text, from, direction) {
    const node = document.createTextNode("");
    let reach = from;
    const words = t(direction < 0 ? "source.above" : "source.below");
    const button = h("button", { type: "button", class: "plain more" }, words);
    const grow = (by) => {
      reach = lineBreak(text, reach + direction * by, direction > 0);
      node.data = direction < 0 ? text.slice(reach, from) : text.slice(from, reach);
      button.hidden = reach <= 0 || reach >= text.length;
    };
    button.addEventListener("click", () => {
      const { scrollHeight, scrollTop } = this.#body;
      grow(MORE);
      if (direction < 0) this.#body.scrollTop = scrollTop + this.#body.scrollHeight - scrollHeight; // the reader's place stays
    });
    grow(AROUND);
    return { node, button };
  }
}
