// The panel in which a reader chooses how to be answered. What is chosen counts at once, for the next question.

import { models } from "./api.js";
import { DEFAULTS, answering, asked, isAway, keepChoice, keptChoice } from "./choice.js";
import { byId, h } from "./dom.js";
import { number, onLanguage, t } from "./i18n.js";
import { problemWords } from "./problem.js";

const WORDS_PER_TOKEN = 0.7; // of French and English, roughly

export class Settings {
  #dialog = byId("settings");
  #choice = keptChoice();
  #offer = null; // {models, default, options}, as the server last said
  #problem = null;
  #lost = null; // a model that the server has refused since

  constructor() {
    this.#dialog.querySelector(".close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    byId("model-list").addEventListener("change", ({ target }) => this.#choose({ model: target.value === this.#offer.default ? null : target.value }));
    byId("thinking").addEventListener("change", ({ target }) => this.#choose({ thinking: target.checked }));
    byId("temperature").addEventListener("input", ({ target }) => this.#choose({ temperature: this.#unlessUsual("temperature", Number(target.value)) }));
    byId("length").addEventListener("input", ({ target }) => this.#choose({ maxTokens: this.#unlessUsual("max_tokens", this.#tokens(target)) }));
    byId("settings-reset").addEventListener("click", () => this.#choose(DEFAULTS));
    onLanguage(() => this.#paint());
    this.#paint();
  }

  /** What goes along with a question. */
  asked() {
    return asked(this.#inForce, this.#offer);
  }

  /** The server has refused `model`: the default one is asked until it is offered again. */
  lost(model) {
    this.#lost = model;
    this.#paint();
    this.load();
  }

  async load() {
    try {
      this.#offer = await models();
      this.#lost = this.#problem = null;
    } catch (problem) {
      this.#problem = problem;
    }
    this.#paint();
  }

  open() {
    this.#paint();
    this.#dialog.showModal();
    this.#dialog.querySelector("[name=model]:checked")?.focus();
    this.load();
  }

  get #inForce() {
    return this.#isAway ? { ...this.#choice, model: null } : this.#choice;
  }

  get #isAway() {
    return Boolean(this.#choice.model) && (this.#lost === this.#choice.model || isAway(this.#choice, this.#offer));
  }

  #choose(change) {
    this.#choice = { ...this.#choice, ...change };
    keepChoice(this.#choice);
    this.#paint();
  }

  #unlessUsual(name, value) {
    return value === this.#offer.options[name] ? null : value;
  }

  /** What the slider of the length stands for: so many parts of the longest answer there is. */
  #tokens({ value, max }) {
    return Math.max(1, Math.round((this.#offer.options.max_tokens * value) / max));
  }

  #paint() {
    const offer = this.#offer;
    const note = offer ? !offer.models.length && t("settings.none") : this.#problem && problemWords(this.#problem);
    byId("models-note").textContent = note || "";
    byId("models-note").hidden = !note;
    byId("settings-body").hidden = !offer?.models.length;
    byId("settings-reset").disabled = Object.keys(DEFAULTS).every((name) => this.#choice[name] === DEFAULTS[name]);
    if (offer?.models.length) {
      this.#paintModels();
      this.#paintThinking();
      this.#paintAdvanced();
    }
    this.#paintFoot();
  }

  #paintModels() {
    const { models: offered, default: usual } = this.#offer;
    const missing = [usual, this.#choice.model].filter((name) => name && !offered.some((model) => model.name === name));
    const away = [...new Set(missing)].map((name) => ({ name, away: true }));
    const held = this.#dialog.contains(document.activeElement) && document.activeElement.name === "model";
    byId("model-list").replaceChildren(...[...offered, ...away].map((model) => this.#row(model, model.name === (this.#choice.model ?? usual))));
    if (held) this.#dialog.querySelector("[name=model]:checked")?.focus();
  }

  #row(model, checked) {
    const facts = [
      model.parameters,
      model.thinks && t("settings.can_think"),
      model.away && t("settings.not_there"),
      model.loaded === true && t("settings.ready"),
      model.loaded === false && t("settings.asleep"),
    ];
    const radio = h("input", { type: "radio", name: "model", value: model.name });
    radio.checked = checked;
    const usual = model.name === this.#offer.default && h("span", { class: "badge" }, t("settings.default"));
    const what = h("span", { class: "what" }, h("span", { class: "name" }, model.name), h("span", { class: "quiet" }, facts.filter(Boolean).join(" · ")));
    return h("label", { class: "model" }, radio, what, usual);
  }

  #paintThinking() {
    const { thinks } = answering(this.#inForce, this.#offer);
    const box = byId("thinking");
    box.disabled = thinks === false;
    box.checked = this.#choice.thinking && thinks !== false;
    const hints = { true: "settings.thinking.hint", false: "settings.thinking.cannot", null: "settings.thinking.unknown" };
    byId("thinking-hint").textContent = t(hints[thinks]);
  }

  #paintAdvanced() {
    const { temperature, max_tokens: longest } = this.#offer.options;
    const freedom = this.#choice.temperature ?? temperature;
    byId("temperature").value = freedom;
    byId("temperature-value").textContent = number(freedom);
    const length = byId("length");
    length.value = Math.round(((this.#choice.maxTokens ?? longest) / longest) * length.max);
    const words = t("settings.words", { n: Math.max(10, Math.round((this.#tokens(length) * WORDS_PER_TOKEN) / 10) * 10) });
    length.setAttribute("aria-valuetext", words); // the number itself means nothing
    byId("length-value").textContent = words;
  }

  /** Below the question: what differs from the usual, and what is chosen but cannot be had. */
  #paintFoot() {
    const { model, options = {} } = this.asked();
    const adjusted = options.temperature !== undefined || options.max_tokens !== undefined;
    const differs = [model, options.thinking && t("settings.thinks"), adjusted && t("settings.adjusted")].filter(Boolean).join(" · ");
    const chosen = byId("chosen");
    chosen.textContent = differs;
    chosen.hidden = !differs;
    const note = byId("choice-note");
    note.textContent = this.#isAway ? t("settings.away", { model: this.#choice.model }) : "";
    note.hidden = !this.#isAway;
  }
}
