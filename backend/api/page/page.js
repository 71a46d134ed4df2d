// The page: puts the parts together.

import * as api from "./api.js";
import { BASE } from "./base.js";
import { Chat } from "./chat.js";
import { Composer } from "./composer.js";
import { Documents } from "./documents.js";
import { byId } from "./dom.js";
import { apply, lang, onLanguage, setLanguage, t } from "./i18n.js";
import { ConversationList } from "./list.js";
import { SourcePanel } from "./panel.js";
import { Scroll } from "./scroll.js";
import { Settings } from "./settings.js";
import { startSide } from "./side.js";
import { startSignIn } from "./signin.js";
import { startTheme } from "./theme.js";
import { startTitle } from "./title.js";

const inAddress = () => new URLSearchParams(location.search).get("c");
const isTyping = (node) => node.matches?.("input, textarea, select, [contenteditable]");

let roles = [];

async function readSession() {
  try {
    const session = await api.session();
    roles = session.roles;
    byId("sign-out").hidden = !session.sign_in;
  } catch {
    // whatever is asked for next will say what is wrong
  }
}

function startKeys(chat, composer) {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog:modal")) return;
    if (event.key === "Escape" && chat.running) chat.stop();
    if (event.key === "/" && !isTyping(event.target)) {
      event.preventDefault();
      composer.focus();
    }
  });
}

async function start() {
  apply();
  startTheme();
  const side = startSide();
  const settings = new Settings();
  const page = { scroll: new Scroll(), panel: new SourcePanel(), settings, phase: startTitle() };
  const chat = new Chat(page);
  page.composer = new Composer({ ask: (question) => chat.ask(question), stop: () => chat.stop() });
  page.list = new ConversationList({
    open: (id) => (side.close(), chat.open(id)),
    gone: (id) => id === chat.conversation && chat.fresh(),
  });
  const documents = new Documents();

  onLanguage(() => chat.relabel());
  byId("language").addEventListener("click", () => setLanguage(lang() === "fr" ? "en" : "fr"));
  for (const button of document.querySelectorAll(".fresh")) button.addEventListener("click", () => (side.close(), chat.fresh()));
  for (const example of document.querySelectorAll(".example")) {
    example.addEventListener("click", () => chat.ask(t(example.dataset.t)));
  }
  for (const button of document.querySelectorAll(".open-settings")) button.addEventListener("click", () => (side.close(), settings.open()));
  byId("open-documents").addEventListener("click", () => (side.close(), documents.open({ writer: roles.includes("writer") })));
  byId("sign-out").addEventListener("click", () => api.closeSession().finally(() => location.assign(BASE)));
  addEventListener("popstate", () => (inAddress() ? chat.open(inAddress(), { push: false }) : chat.fresh({ push: false })));
  startKeys(chat, page.composer);
  startSignIn(readSession);

  document.documentElement.dataset.ready = "";
  await readSession();
  await Promise.all([chat.resume(inAddress()), page.list.refresh(), settings.load()]);
  if (matchMedia("(hover: hover)").matches) page.composer.focus(); // on a phone it would raise the keyboard
}

start();
