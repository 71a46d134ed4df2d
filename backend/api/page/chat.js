// The conversation in view: asking, following, stopping, opening another, taking up again after F5.

import * as api from "./api.js";
import { BASE } from "./base.js";
import { byId, h } from "./dom.js";
import { follow } from "./follow.js";
import { t } from "./i18n.js";
import { pending, remember } from "./pending.js";
import { Turn } from "./turn.js";

const STOP_PATIENCE_MS = 6000;

const newKey = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

export class Chat {
  conversation = null;
  #page;
  #turns = [];
  #active = null; // {turn, key, abort, stop}

  /** @param {object} page {scroll, composer, list, panel, settings, phase(name)} */
  constructor(page) {
    this.#page = page;
  }

  #host = {
    grown: () => this.#page.scroll.grown(),
    open: (source, opener) => this.#page.panel.open(source, opener),
    retry: (turn) => this.#retry(turn),
    edit: (turn) => {
      this.#remove(turn);
      this.#page.composer.fill(turn.question);
      this.#page.composer.focus();
    },
  };

  ask(question) {
    if (this.#active) return;
    const turn = this.#add(new Turn(question, this.#host, { live: true }));
    this.#page.scroll.toEnd();
    this.#start(turn, question);
  }

  #start(turn, question) {
    this.#follow(turn, { question, conversation: this.conversation, key: newKey(), ...this.#page.settings.asked() });
  }

  fresh({ push = true } = {}) {
    this.#leave();
    this.#show(null, push);
    this.#page.composer.focus();
  }

  async open(id, { push = true } = {}) {
    this.#leave();
    this.#show(id, push);
    const loading = this.conversation;
    let turns;
    try {
      ({ turns } = await api.conversation(id));
    } catch (problem) {
      if (loading === this.conversation) this.#notFound(problem);
      return;
    }
    if (loading !== this.conversation || this.#active) return;
    for (const [i, past] of turns.entries()) {
      const askedAgain = past.state === "failed" && turns[i + 1]?.question === past.question;
      if (!askedAgain) this.#restore(past);
    }
    this.#welcome();
    this.#page.scroll.toEnd();
  }

  /** After a load of the page: what this tab was doing, or the conversation in the address. */
  async resume(id) {
    const was = pending();
    if (was && !was.run && (was.conversation ?? null) === id) {
      if (id) await this.open(id, { push: false });
      if (this.#active) return; // the server knew the run
      const turn = this.#add(new Turn(was.question, this.#host, { live: true }));
      this.#follow(turn, was);
    } else if (id) await this.open(id, { push: false });
    else this.#show(null, false);
    if (was?.run && was.conversation === id && !this.#turns.length) this.#followAgain(was);
  }

  /** The run of before F5, when its conversation could not be read. */
  #followAgain(was) {
    this.conversation = was.conversation;
    byId("turns").replaceChildren();
    this.#follow(this.#add(new Turn(was.question, this.#host, { live: true })), { ...was, id: was.run });
  }

  /** Stops the answer being written; what is there stays. */
  stop() {
    const active = this.#active;
    if (!active || active.stopping) return;
    active.stopping = true;
    active.turn.stopping();
    if (active.turn.run) this.#sendStop(active);
    else if (active.turn.element.dataset.connection === "reconnecting") this.#giveUp(active); // nothing has begun
  }

  relabel() {
    for (const turn of this.#turns) turn.relabel();
  }

  get running() {
    return Boolean(this.#active);
  }

  async #sendStop(active) {
    active.patience = setTimeout(() => this.#giveUp(active), STOP_PATIENCE_MS);
    await api.stop(active.turn.run).catch(() => {}); // the run ends by itself when nobody follows it
  }

  #giveUp(active) {
    if (this.#active !== active) return;
    active.abort.abort();
    active.turn.cut();
    this.#end(active);
  }

  async #follow(turn, run) {
    const active = { turn, run: { ...run }, abort: new AbortController(), stopping: false };
    this.#active = active;
    this.#page.composer.running(true);
    remember(active.run);
    try {
      const end = await follow(run, this.#handlers(active), active.abort.signal);
      if (end === "aborted") return;
      if (end === "seen") turn.cut();
    } catch (problem) {
      if (problem.code === "model_not_offered" && run.model) return this.#startWithout(run.model, turn);
      turn.fail(problem.status === 404 ? { code: "not_found", retryable: true } : problem);
    }
    this.#end(active);
  }

  /** The chosen model has gone: the same question, to the default one. */
  #startWithout(model, turn) {
    this.#page.settings.lost(model);
    this.#start(turn, turn.question);
  }

  #handlers(active) {
    const { turn } = active;
    return {
      event: (name, data) => {
        turn.event(name, data);
        if (name === "started") this.#started(active, data);
        this.#page.phase(turn.phase);
      },
      state: (state) => {
        turn.connection(state);
        this.#page.phase(turn.phase);
      },
      restart: () => turn.restart(),
    };
  }

  #started(active, { run_id: id, conversation_id: conversation }) {
    const isNew = this.conversation !== conversation;
    active.run.run = id;
    active.run.conversation = conversation;
    remember(active.run);
    if (isNew) {
      this.conversation = conversation;
      history.replaceState(null, "", address(conversation));
      this.#page.list.current(conversation);
      this.#page.list.refresh();
    }
    if (active.stopping) this.#sendStop(active);
  }

  #end(active) {
    if (this.#active !== active) return;
    clearTimeout(active.patience);
    this.#active = null;
    remember(null);
    this.#page.composer.running(false);
    this.#page.phase(active.turn.phase);
    this.#page.list.refresh();
  }

  /** Stops following, not the run: it goes on, and is found again when its conversation is opened. */
  #leave() {
    const active = this.#active;
    if (!active) return;
    this.#active = null;
    active.abort.abort();
    remember(null);
    this.#page.composer.running(false);
  }

  #restore(past) {
    const running = past.state === "running";
    const turn = this.#add(new Turn(past.question, this.#host, { live: running }));
    turn.remember(past);
    if (running) this.#follow(turn, { id: past.run, question: past.question, conversation: this.conversation, run: past.run });
  }

  #retry(turn) {
    if (this.#active) return;
    this.#remove(turn);
    this.ask(turn.question);
  }

  #add(turn) {
    this.#turns.push(turn);
    byId("turns").append(turn.element);
    this.#welcome();
    return turn;
  }

  #remove(turn) {
    this.#turns = this.#turns.filter((other) => other !== turn);
    turn.element.remove();
    this.#welcome();
  }

  #show(id, push) {
    this.conversation = id;
    this.#turns = [];
    byId("turns").replaceChildren();
    if (push) history.pushState(null, "", address(id));
    this.#page.panel.close();
    this.#page.list.current(id);
    this.#page.phase("idle");
    this.#welcome();
  }

  #welcome() {
    byId("welcome").hidden = this.#turns.length > 0 || this.conversation !== null;
  }

  #notFound(problem) {
    const gone = problem.status === 404;
    if (gone) this.#show(null, false);
    if (gone) history.replaceState(null, "", address(null));
    const words = gone ? t("list.gone") : t("error.unavailable");
    byId("turns").replaceChildren(h("p", { class: "note", role: "status" }, words));
  }
}

const address = (id) => (id ? `${BASE}?c=${encodeURIComponent(id)}` : BASE);
