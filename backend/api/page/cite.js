// `[1]` in an answer becomes a way to source 1.

import { h } from "./dom.js";
import { t } from "./i18n.js";

const THIN = "\u202f"; // so that a mark does not begin a line
const CHAIN = /(?:\[\d{1,3}(?:\s*[,;]\s*\d{1,3})*\])+/g;
const MARK = /\[([^\]]+)\]/g;

// What is no citation, as backend/chat/citations.py has it. Without lookbehind, which not every browser knows.
const CALL = "(?:\\([^()\\n]{0,40}\\)|\\[[^\\[\\]\\n]{0,40}\\])*$";
const KNOWN = "arg|argc|args|argv|arr|buf|cfg|ctx|dict|elem|env|idx|kwargs|mat|num|obj|params|ptr|str|tmp|tuple|vec";
const VARIABLE = new RegExp(
  `(?:(?:^|[^\\p{L}\\p{N}_'’\\s]|(?:^|\\P{N})\\s)[a-zα-ω]|[\\p{L}\\p{N}]_+[\\p{L}\\p{N}]\\w*` +
    `|(?:^|[^\\p{L}\\p{N}_])(?:[a-z]{2,}[A-Z]\\w*|${KNOWN})|[$\\\\][\\p{L}\\p{N}_]+|\\w\\(\\))${CALL}`,
  "u",
);
const AS_CODE = /^(?:[ \t]?(?:[-+*/%&|^!<>:=]?=|\+\+)|[[(]|\.[a-z_])/;
const DEFINES = /^:[ \t]{0,2}<?(?:https?:|mailto:|www\.|[/#.])/i;
const LINKS = /^\(<?(?:https?:|mailto:|www\.|[/#.])/i;
const GLUE = /[\p{L}\p{N}_)[\]}`"']$/u;
const SHIELD = /(?:[\\{^]|(?:^|\D)\$)$/;
const SEEN = 64;

/** Whether marks between `before` and `after` are code, a formula or a list of figures. */
function isOther(before, after, numbers) {
  if (SHIELD.test(before) || /^[$}]/.test(after) || /=[ \t]?$/.test(before)) return true;
  if ((numbers.length > 1 && numbers.includes(0)) || LINKS.test(after)) return true;
  if (/(?:^|\n)[ \t]{0,3}$/.test(before) && DEFINES.test(after)) return true;
  if (!GLUE.test(before) && after[0] !== "]") return false;
  return VARIABLE.test(before.trimEnd()) || AS_CODE.test(after);
}

/** Replaces the citation marks of known sources below `root`; code and links are left alone. */
export function linkCitations(root, sources, { anchor, open }) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node; (node = walker.nextNode()); ) {
    if (node.data.includes("[") && !node.parentElement?.closest("a, code, pre")) found.push(node);
  }
  for (const node of found) replaceIn(node, sources, { anchor, open });
  for (const link of root.querySelectorAll("a[href]:not(.cite)")) link.title = link.href; // where it really leads
}

function replaceIn(node, sources, links) {
  const parts = [];
  let from = 0;
  for (const { 0: chain, index } of node.data.matchAll(CHAIN)) {
    const numbers = chain.match(/\d+/g).map(Number);
    const after = node.data.slice(index + chain.length);
    if (isOther(node.data.slice(Math.max(0, index - SEEN), index), after, numbers)) continue;
    for (const mark of chain.matchAll(MARK)) {
      const named = mark[1].split(/[,;]/).map((n) => sources.get(Number(n)));
      if (!named.every(Boolean)) continue;
      parts.push(node.data.slice(from, index + mark.index).replace(/ $/, THIN), ...named.map((source) => link(source, links)));
      from = index + mark.index + mark[0].length;
    }
  }
  if (parts.length) node.replaceWith(...parts, node.data.slice(from));
}

function link(source, { anchor, open }) {
  const node = h("a", { class: "cite", href: `#${anchor(source.n)}` }, `[${source.n}]`);
  node.setAttribute("aria-label", t("sources.open", { n: source.n, title: source.title }));
  node.title = source.title;
  node.addEventListener("click", (event) => {
    event.preventDefault();
    open(source, node);
  });
  return node;
}
