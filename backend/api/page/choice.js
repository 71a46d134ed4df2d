// How the reader wants to be answered: by which model, thinking or not, how freely, how long. Kept in this browser.

const KEY = "libri.choice";
export const DEFAULTS = { model: null, thinking: false, temperature: null, maxTokens: null }; // null: as the server likes

const within = (value, low, high) => (typeof value === "number" && value >= low && value <= high ? value : null);

/** What was kept, as far as it makes sense. */
export function keptChoice() {
  let kept = null;
  try {
    kept = JSON.parse(localStorage.getItem(KEY));
  } catch {
    // storage may be forbidden, or hold what is not ours
  }
  return {
    model: typeof kept?.model === "string" && kept.model ? kept.model : null,
    thinking: kept?.thinking === true,
    temperature: within(kept?.temperature, 0, 2),
    maxTokens: Number.isInteger(kept?.maxTokens) ? within(kept.maxTokens, 1, 32_768) : null,
  };
}

export function keepChoice(choice) {
  try {
    localStorage.setItem(KEY, JSON.stringify(choice));
  } catch {
    // kept for this page only
  }
}

const find = (offer, name) => offer?.models.find((model) => model.name === name);

/** Whether the chosen model is known to be away. An empty offer does not say so: no server answered just then. */
export const isAway = ({ model }, offer) => Boolean(model && offer?.models.length && model !== offer.default && !find(offer, model));

/** The model that will answer, as far as it is known: {name, thinks, …}. */
export function answering(choice, offer) {
  const name = choice.model && !isAway(choice, offer) ? choice.model : offer?.default;
  return find(offer, name) ?? { name, thinks: null };
}

/** What goes along with a question: {model?, options?}. Where nothing is chosen, nothing is sent. */
export function asked(choice, offer) {
  const { name, thinks } = answering(choice, offer);
  const options = {
    ...(choice.thinking && thinks !== false && { thinking: true }),
    ...(choice.temperature !== null && { temperature: choice.temperature }),
    ...(choice.maxTokens !== null && { max_tokens: choice.maxTokens }),
  };
  return {
    ...(choice.model && name === choice.model && name !== offer?.default && { model: name }),
    ...(Object.keys(options).length && { options }),
  };
}
