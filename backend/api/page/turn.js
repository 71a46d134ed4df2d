// One question with its answer: what the reader sees of a run, from the first wait to the sources.

import { Answer } from "./answer.js";
import { linkCitations } from "./cite.js";
import { h } from "./dom.js";
import { Feedback } from "./feedback.js";
import { t } from "./i18n.js";
import { say } from "./live.js";
import { problemNode } from "./problem.js";
import { sourceList } from "./sources.js";
import { Wait } from "./wait.js";

let count = 0;

export class Turn {
  run = null;
  phase = "connecting"; // connecting, searching, queue, reading, thinking, writing, done, failed
  #host;
  #live;
  #name = `turn-${++count}`;
  #connection = "open";
  #queue = null;
  #wait = new Wait();
  #stopping = false;
  #sources = new Map();
  #end = { reason: "", citations: [], degraded: new Set() };
  #problem = null;
  #feedback = null;
  #status = h("p", { class: "status" });
  #thinking = h("div");
  #thoughts = h("details", { class: "thinking", hidden: true }, h("summary"), this.#thinking);
  #after = h("div", { class: "after" });

  /**
   * @param {string} question
   * @param {object} host {open(source, opener), retry(turn), edit(turn), grown()}
   * @param {boolean} live whether it is being answered now (spoken, stoppable)
   */
  constructor(question, host, { live }) {
    this.question = question;
    this.#host = host;
    this.#live = live;
    this.answer = new Answer({
      spoken: live,
      grown: host.grown,
      decorate: (fragment) => linkCitations(fragment, this.#sources, { anchor: this.#anchor, open: host.open }),
    });
    this.element = h(
      "article",
      { class: "turn", id: this.#name },
      h("h2", { class: "asked" }, question),
      this.#status,
      this.#thoughts,
      this.answer.element,
      this.#after,
    );
    this.relabel();
  }

  #anchor = (n) => `${this.#name}-source-${n}`;

  get ended() {
    return this.phase === "done" || this.phase === "failed";
  }

  /** A turn as the server remembers it. */
  remember({ run, answer, state, sources, citations, degraded }) {
    this.run = run;
    this.#take(sources, degraded);
    if (state === "running") return;
    this.answer.append(answer);
    this.#end.citations = citations;
    if (state === "failed") return this.fail({ code: "engine_error", retryable: true });
    this.#finish(state === "stopped" ? "stopped" : "stop");
  }

  /** All that was shown so far comes again. */
  restart() {
    if (this.answer.text) this.answer.reset("");
    this.#thinking.textContent = "";
    this.#thoughts.hidden = true;
  }

  /** The state of the connection: "connecting", "open", "reconnecting" or "offline". */
  connection(state) {
    this.#connection = state;
    this.#paintStatus();
  }

  stopping() {
    this.#stopping = true;
    this.#paintStatus();
  }

  event(name, data) {
    const before = this.phase;
    const take = {
      started: () => this.#started(data),
      queue: () => ((this.phase = "queue"), (this.#queue = data)),
      sources: () => ((this.phase = "reading"), this.#take(data.sources, data.degraded)),
      thinking: () => this.#think(data.text),
      delta: () => ((this.phase = "writing"), this.answer.append(data.text)),
      replace: () => this.#replace(data),
      done: () => this.#done(data),
      error: () => this.fail({ ...data, retryAfter: data.retry_after_s }),
    }[name];
    take?.();
    if (name !== "delta" || this.phase !== before) this.#paintStatus();
  }

  /** Ends the turn with what went wrong. */
  fail(problem) {
    this.phase = "failed";
    this.#problem = problem;
    this.#settle();
  }

  /** Ends the turn as stopped, when the server no longer says so itself. */
  cut() {
    this.#finish("stopped");
  }

  relabel() {
    this.#thoughts.firstChild.textContent = t("answer.thinking");
    this.#paintStatus();
    if (this.ended) this.#paintAfter();
  }

  #started(data) {
    this.run = data.run_id;
    if (this.phase === "connecting") this.phase = "searching";
  }

  #take(sources, degraded = []) {
    for (const source of sources) this.#sources.set(source.n, source);
    for (const what of degraded) this.#end.degraded.add(what);
  }

  #think(text) {
    this.phase = "thinking";
    this.#thoughts.hidden = false;
    this.#thinking.append(text);
    this.#host.grown();
  }

  #replace({ channel, text }) {
    if (channel === "thinking") {
      this.#thinking.textContent = text;
      this.#thoughts.hidden = !text;
    } else {
      this.answer.reset(text);
      say(t("state.replaced"));
    }
  }

  #done({ finish_reason: reason, citations = [], degraded = [] }) {
    this.#end.citations = citations;
    for (const what of degraded) this.#end.degraded.add(what);
    this.#finish(reason);
  }

  #finish(reason) {
    this.phase = "done";
    this.#end.reason = reason;
    this.#settle();
  }

  #settle() {
    this.answer.finish().then(() => {
      if (this.#live) say(this.phase === "done" ? t("answer.ready") : "");
    });
    this.#paintStatus();
    this.#paintAfter();
    this.#host.grown();
  }

  /** What happens now; null while it is the place in the queue. */
  #words() {
    if (this.ended) return "";
    if (this.#stopping) return t("state.stopping");
    if (this.#connection === "offline") return t("state.offline");
    if (this.#connection === "reconnecting") return t(this.run ? "state.reconnecting" : "state.unreachable");
    if (this.phase === "queue") return null;
    if (this.phase === "reading") return t("state.reading", { n: this.#sources.size });
    return this.phase === "writing" ? "" : t(`state.${this.phase}`);
  }

  #paintStatus() {
    const words = this.#words();
    if (words === null) this.#paintWait();
    else if (this.#status.textContent !== words) {
      this.#status.textContent = words;
      this.#tell(words);
    }
    this.#status.hidden = words === "";
    this.element.dataset.phase = this.phase;
    this.element.dataset.connection = this.ended ? "open" : this.#connection;
    this.element.setAttribute("aria-busy", String(!this.ended));
  }

  #paintWait() {
    const news = this.#wait.show(this.#queue);
    if (this.#wait.element.parentElement !== this.#status) this.#status.replaceChildren(this.#wait.element);
    this.#tell(news);
  }

  #tell(words) {
    if (this.#live) say(words);
  }

  #paintAfter() {
    const nodes = [...this.#notes()];
    if (this.#problem) nodes.push(problemNode(this.#problem, this.#problemActions()));
    if (this.#sources.size) nodes.push(...this.#sourceNodes());
    if (this.run && this.answer.text) nodes.push((this.#feedback ??= new Feedback(this)).paint());
    this.#after.replaceChildren(...nodes);
  }

  *#notes() {
    const missing = ["model", "dense", "lexical", "history"].filter((what) => this.#end.degraded.has(what));
    if (missing.length) yield h("div", { class: "note" }, ...missing.map((what) => h("p", {}, this.#missing(what))));
    const { reason } = this.#end;
    if (reason === "no_answer") yield noAnswer(!this.answer.text);
    else if (reason === "stopped" || reason === "length") yield h("p", { class: "note" }, t(`answer.${reason}`));
    else if (reason && !this.answer.text) yield h("p", { class: "note" }, t("answer.empty"));
  }

  #missing(what) {
    const nothingQuoted = what === "model" && this.#end.reason === "no_answer";
    if (nothingQuoted) return t("degraded.model.none");
    return t(what === "dense" && this.#end.degraded.has("dense_being_made") ? "degraded.dense.made" : `degraded.${what}`);
  }

  #sourceNodes() {
    const all = [...this.#sources.values()];
    return sourceList(all, this.#end.citations, { anchor: this.#anchor, open: this.#host.open });
  }

  #problemActions() {
    return {
      kept: Boolean(this.answer.text),
      retry: this.#problem.retryable ? () => this.#host.retry(this) : null,
      edit: this.#problem.retryable ? null : () => this.#host.edit(this),
    };
  }
}

function noAnswer(silent) {
  const hint = t("answer.none.hint");
  return h("p", { class: "note", data: { state: "no_answer" } }, silent ? `${t("answer.none")} ${hint}` : hint);
}
