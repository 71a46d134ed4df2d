// The HTTP API: one function per call, one error class. A 401 asks the reader to sign in, then tries once more.

import { BASE } from "./base.js";

const API = `${BASE}api/v1`;

/** An answer that is not a success. `code` is stable; "offline" and "protocol" are ours. */
export class Problem extends Error {
  constructor({ code, status = 0, detail = "", retryable = false, retryAfter = null }) {
    super(detail || code);
    Object.assign(this, { code, status, detail, retryable, retryAfter });
  }
}

const seconds = (value) => (Number.isFinite(Number(value)) && value !== null && value !== "" ? Number(value) : null);

async function problemOf(response) {
  const said = await response.json().catch(() => ({}));
  const gateway = [429, 502, 503, 504].includes(response.status);
  return new Problem({
    code: said.code || `http_${response.status}`,
    status: response.status,
    detail: typeof said.detail === "string" ? said.detail : "",
    retryable: said.retryable ?? gateway,
    retryAfter: seconds(said.retry_after_s) ?? seconds(response.headers.get("Retry-After")),
  });
}

let signIn = () => Promise.resolve(false);

/** `ask` is called when a credential is needed; it resolves to whether the reader has signed in. */
export function onUnauthenticated(ask) {
  signIn = ask;
}

/** A response with a success status. Raises Problem; an abort passes through. */
export async function request(path, init = {}, { maySignIn = true } = {}) {
  let response;
  try {
    response = await fetch(API + path, { credentials: "same-origin", cache: "no-store", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ code: "offline", retryable: true });
  }
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && maySignIn && (await signIn())) return request(path, init, { maySignIn: false });
  throw problem;
}

async function json(path, init, options) {
  const response = await request(path, init, options);
  if (response.status === 204) return null;
  return response.json().catch(() => {
    throw new Problem({ code: "protocol", status: response.status, retryable: true });
  });
}

const body = (value) => ({ method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(value) });
const enc = encodeURIComponent;

export const session = () => json("/session");
export const openSession = (key) => json("/session", body({ key }), { maySignIn: false });
export const closeSession = () => json("/session", { method: "DELETE" });

export const ask = ({ question, conversation, key, model, options }, signal) => {
  const post = body({ question, ...(conversation && { conversation_id: conversation }), model, options });
  return request("/chat/stream", { ...post, headers: { ...post.headers, "Idempotency-Key": key }, signal });
};
export const events = (run, lastId, signal) =>
  request(`/runs/${enc(run)}/events`, { headers: lastId ? { "Last-Event-ID": lastId } : {}, signal });
export const stop = (run) => json(`/runs/${enc(run)}`, { method: "DELETE" });
export const rate = (run, rating, reason) =>
  json(`/runs/${enc(run)}/feedback`, body(reason ? { rating, reason } : { rating }));
export const markdown = (text) => json("/markdown", body({ text }), { maySignIn: false });

export const models = () => json("/models");

export const conversations = (before) => json(`/conversations?limit=30${before ? `&before=${enc(before)}` : ""}`);
export const conversation = (id) => json(`/conversations/${enc(id)}`);
export const deleteConversation = (id) => json(`/conversations/${enc(id)}`, { method: "DELETE" });

export const documents = (after) => json(`/documents?corpus=default&limit=50${after ? `&after=${enc(after)}` : ""}`);
export const deleteDocument = (id) => json(`/documents/${enc(id)}?corpus=default`, { method: "DELETE" });
export const documentText = (id, revision) =>
  json(`/documents/${enc(id)}/text?corpus=default${revision ? `&revision=${enc(revision)}` : ""}`);
export const upload = (files) => {
  const form = new FormData();
  for (const file of files) form.append("file", file);
  return json("/documents?corpus=default", { method: "POST", body: form });
};
export const ingestion = (id) => json(`/ingestions/${enc(id)}`);
