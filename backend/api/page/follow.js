// One run, followed to its end through any number of connections. Nothing here touches the page.

import * as api from "./api.js";
import { Problem } from "./api.js";
import { SseParser, readEvents } from "./sse.js";

const SILENCE_MS = 35_000; // the server says something at least every 15 s
const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 15_000;
const MOST_ATTEMPTS = 12;

/** Whether event id `a` (`<fence>-<seq>`) comes after `b`; an id of another form counts as new. */
export function isAfter(a, b) {
  const [x, y] = [a, b].map((id) => /^(\d+)-(\d+)$/.exec(id)?.slice(1).map(BigInt));
  if (!x || !y) return a !== b;
  return x[0] > y[0] || (x[0] === y[0] && x[1] > y[1]);
}

/** How long to wait before attempt `n` (from 0): doubling, bounded, half of it random. */
export function backoffMs(n, base, random = Math.random) {
  const full = Math.min(LONGEST_RETRY_MS, base * 2 ** n);
  return full / 2 + (random() * full) / 2;
}

/** Whether asking once more gives the same run: it is known by its id, or by the key that every attempt shows. */
function isWorthAnother({ code, status }, started) {
  if (["offline", "bad_gateway", "gateway_timeout"].includes(code)) return true;
  return started && (status >= 500 || status === 429);
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const finish = () => {
      clearTimeout(timer);
      removeEventListener("online", finish);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    addEventListener("online", finish); // no reason to wait once the network is back
    signal.addEventListener("abort", finish);
  });
}

/**
 * Follows a run until its terminal event.
 *
 * @param {object} run      {id} of a run that exists, or {question, conversation, key, model?, options?} of one to start
 * @param {object} handlers event(name, data), state("connecting"|"open"|"reconnecting"|"offline"), restart(): all
 *                          that was shown comes again
 * @param {AbortSignal} signal ends the following, not the run
 * @returns {Promise<"ended"|"seen"|"aborted">} "seen": the terminal event had been received before
 * @throws {Problem} the server refused, or stayed away too long
 */
export async function follow(run, handlers, signal) {
  let retryMs = FIRST_RETRY_MS;
  let { id = null } = run;
  let last = "";
  let failures = 0;
  let toldMs = 0; // how long the server asks to wait before the next attempt

  const open = (inner) => (id ? api.events(id, last, inner) : api.ask(run, inner));

  const tell = (name, data) => {
    try {
      handlers.event(name, data);
    } catch (error) {
      console.error(error); // a defect of the page: asking the server again would not mend it
      throw new Problem({ code: "protocol" });
    }
  };

  const take = ({ event, data: text, id: eventId }) => {
    const data = JSON.parse(text);
    if (event === "started") {
      id = data.run_id;
      if (!last) handlers.restart();
      tell(event, data);
      return false;
    }
    if (eventId && last && !isAfter(eventId, last)) return false;
    if (eventId) last = eventId;
    tell(event, data);
    return event === "done" || event === "error";
  };

  const connect = async () => {
    const connection = new AbortController();
    const abort = () => connection.abort();
    signal.addEventListener("abort", abort);
    let watchdog = setTimeout(abort, SILENCE_MS);
    const alive = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(abort, SILENCE_MS);
    };
    try {
      const response = await open(connection.signal);
      if (response.status === 204) return "seen";
      handlers.state("open");
      const sse = new SseParser();
      for await (const event of readEvents(response, sse, alive)) {
        retryMs = sse.retryMs ?? retryMs;
        failures = 0;
        if (take(event)) return "ended";
      }
      return "cut";
    } catch (error) {
      if (error instanceof Problem && !isWorthAnother(error, Boolean(id))) throw error;
      if (error instanceof SyntaxError) throw new Problem({ code: "protocol", retryable: true });
      toldMs = Math.min((error.retryAfter ?? 0) * 1000, LONGEST_RETRY_MS);
      return "cut";
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", abort);
    }
  };

  handlers.state("connecting");
  for (;;) {
    const end = await connect();
    if (signal.aborted) return "aborted";
    if (end !== "cut") return end;
    if (failures >= MOST_ATTEMPTS) throw new Problem({ code: "offline", retryable: true });
    handlers.state(navigator.onLine === false ? "offline" : "reconnecting");
    await pause(Math.max(toldMs, backoffMs(failures++, Math.min(retryMs, 1000))), signal);
    toldMs = 0;
    if (signal.aborted) return "aborted";
  }
}
