// The documents that answers are drawn from; a writer adds and removes some.

import { deleteDocument, documents, ingestion, upload } from "./api.js";
import { confirm } from "./confirm.js";
import { byId, h, icon } from "./dom.js";
import { date, dated, has, onLanguage, size, t } from "./i18n.js";
import { problemWords } from "./problem.js";

const PAGE = 50;
const FIRST_POLL_MS = 500;
const LONGEST_POLL_MS = 4000;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Documents {
  #dialog = byId("documents");
  #note = byId("documents-note");
  #more = byId("more-documents");
  #items = [];
  #writer = false;

  constructor() {
    const files = byId("files");
    this.#dialog.querySelector(".close").addEventListener("click", () => this.#dialog.close());
    this.#dialog.addEventListener("click", (event) => event.target === this.#dialog && this.#dialog.close());
    this.#more.addEventListener("click", () => this.#load(this.#items.at(-1)?.name));
    byId("choose").addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      this.#upload([...files.files]);
      files.value = "";
    });
    this.#acceptDrops(byId("upload"));
    onLanguage(() => this.#paint());
  }

  open({ writer }) {
    this.#writer = writer;
    byId("upload").hidden = !writer;
    this.#dialog.showModal();
    this.#load();
  }

  #acceptDrops(zone) {
    for (const name of ["dragover", "dragleave", "drop"]) {
      zone.addEventListener(name, (event) => {
        event.preventDefault();
        zone.classList.toggle("over", name === "dragover");
        if (name === "drop") this.#upload([...event.dataTransfer.files]);
      });
    }
  }

  async #load(after) {
    try {
      const read = (await documents(after)).documents;
      this.#items = after ? [...this.#items, ...read] : read;
      this.#more.hidden = read.length < PAGE;
      this.#say(this.#items.length ? "" : t("docs.empty"));
    } catch (problem) {
      this.#say(problemWords(problem));
    }
    this.#paint();
  }

  #say(words) {
    this.#note.textContent = words;
    this.#note.hidden = !words;
  }

  #paint() {
    byId("document-list").replaceChildren(...this.#items.map((one) => this.#item(one)));
  }

  #item(one) {
    const title = one.title || one.name;
    const facts = [one.name !== title && one.name, one.date && t("docs.dated", { date: dated(one.date) }), size(one.size_bytes)];
    facts.push(t("docs.passages", { n: one.passages }), date(one.updated));
    const quiet = [one.description, facts.filter(Boolean).join(" · ")].filter(Boolean);
    const lines = quiet.map((words) => h("p", { class: "quiet" }, words));
    const what = h("div", {}, h("p", { class: "title" }, title), ...lines, noteList(one.notes));
    if (!this.#writer) return h("li", {}, what);
    const label = t("docs.delete", { title });
    const remove = h("button", { type: "button", class: "tool remove", "aria-label": label, title: label }, icon("trash"));
    remove.addEventListener("click", () => this.#remove(one, title));
    return h("li", {}, what, remove);
  }

  async #remove(one, title) {
    if (!(await confirm(t("docs.confirm"), t("docs.confirm.text", { title })))) return;
    try {
      await deleteDocument(one.id);
      this.#items = this.#items.filter((other) => other !== one);
      this.#paint();
    } catch (problem) {
      this.#say(problemWords(problem));
    }
  }

  async #upload(files) {
    if (!files.length) return;
    const bar = h("progress");
    const words = h("p", {}, t("docs.sending"));
    const items = h("ul");
    byId("ingestions").replaceChildren(h("div", { class: "ingestion" }, words, bar, items));
    try {
      await this.#watch(await upload(files), { bar, words, items });
    } catch (problem) {
      words.textContent = problemWords(problem);
    }
    bar.remove();
    await this.#load();
  }

  async #watch(job, { bar, words, items }) {
    const { id } = job;
    for (let pause = FIRST_POLL_MS; ; pause = Math.min(pause * 1.4, LONGEST_POLL_MS)) {
      if (job.total) {
        bar.max = job.total;
        bar.value = job.finished;
        words.textContent = t("docs.progress", { finished: job.finished, total: job.total });
      }
      items.replaceChildren(...(job.items ?? []).map((item) => h("li", { data: { state: item.state } }, itemWords(item), noteList(item.notes))));
      if (job.state === "done" || job.state === "failed") return;
      await wait(pause);
      job = await ingestion(id);
    }
  }
}

/** What a document leaves out, a line for each kind. */
function noteList(notes = []) {
  if (!notes.length) return "";
  return h("ul", { class: "notes" }, ...notes.map((note) => h("li", {}, noteWords(note))));
}

function noteWords({ code, count, detail }) {
  const words = has(`note.${code}`) ? t(`note.${code}`, { n: count }) : `${code.replaceAll("_", " ")}: ${count}`;
  return detail ? `${words} (${detail})` : words;
}

function itemWords({ name, state, reason }) {
  const why = has(`error.${reason}`) ? t(`error.${reason}`) : reason;
  return `${name} · ${(state === "failed" && why) || t(`docs.item.${state}`)}`;
}
