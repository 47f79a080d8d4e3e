// What one sees: the text, the models' answers beside each other, and how loading goes.

import { Client } from "./client.js";

// Between the last key and reading, in milliseconds.
const TYPING_PAUSE = 40;
// Classes with a bar, if there are many.
const MOST_BARS = 6;
// Words in a list of those that matter, in each direction.
const MOST_LISTED = 4;
// Changes of log-odds: less than the first is not listed; the colours are full at the largest, or at the second.
const LEAST_LISTED = 0.05;
const LEAST_FULL = 1;
const MEGABYTE = 1e6;

const byId = (id) => document.getElementById(id);

/** An element with text and classes; texts of models and visitors are never read as HTML. */
function element(name, { text, className, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Write into a region that screen readers tell, unless it says so already. */
function say(id, text, isProblem = false) {
  const region = byId(id);
  if (region.textContent !== text) region.textContent = text;
  region.classList.toggle("problem", isProblem);
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const signed = (change) => `${change < 0 ? "−" : "+"}${Math.abs(change).toFixed(1)}`;
const duration = (milliseconds) =>
  milliseconds < 0.1 ? "< 0.1 ms" : `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;

/** A model's place on the page. */
class Card {
  constructor(model, number, labels) {
    const { model: name, family } = model;
    this.labels = labels;
    this.name = name;
    const facts = [
      model.label_budget && `${model.label_budget.toLocaleString("en")} labels`,
      model.test_accuracy !== null && `test accuracy ${percent(model.test_accuracy)}`,
      model.parameters && `${model.parameters.toLocaleString("en", { notation: "compact" })} weights`,
      model.run,
    ];
    this.state = element("p", { className: "state", text: "Loading …" });
    this.answer = element("p", { className: "answer" });
    this.bars = element("ul", { className: "bars" });
    this.time = element("p", { className: "time" });
    this.text = element("p", {
      className: "read",
      dir: "auto",
      tabindex: "0",
      role: "group",
      "aria-label": `The text, as ${name} weighs it`,
    });
    this.list = element("dl", { className: "listed" });
    this.result = element("div", { className: "result" }, this.answer, this.bars, this.time, this.text, this.list);
    this.result.hidden = true;
    this.root = element(
      "article",
      { "aria-labelledby": `model-${number}` },
      element(
        "h3",
        { id: `model-${number}` },
        element("bdi", { text: name }),
        element("span", { className: "family", text: family }),
      ),
      element("p", { className: "facts", text: facts.filter(Boolean).join(" · ") }),
      this.state,
      this.result,
    );
  }

  say(text, isProblem = false) {
    this.state.textContent = text;
    this.state.hidden = text === "";
    this.state.classList.toggle("problem", isProblem);
  }

  clear() {
    this.result.hidden = true;
    this.best = null;
  }

  /** Show an answer; the words that matter come later. */
  show(typed, { probabilities, milliseconds, tokens, kept }) {
    const order = probabilities
      .map((_, label) => label)
      .sort((one, other) => probabilities[other] - probabilities[one]);
    this.typed = typed;
    this.best = { label: this.labels[order[0]], share: probabilities[order[0]] };
    this.answer.replaceChildren(
      element("bdi", { text: this.best.label }),
      " ",
      element("span", { className: "sure", text: percent(this.best.share) }),
    );
    // In a fixed order, bars are easier to compare between models; of many classes, the likeliest are shown.
    const shown = this.labels.length <= MOST_BARS ? this.labels.map((_, label) => label) : order.slice(0, MOST_BARS);
    this.bars.replaceChildren(
      ...shown.map((label) => {
        const bar = element("span", { className: "bar", "aria-hidden": "true" });
        bar.style.setProperty("--share", probabilities[label]);
        return element(
          "li",
          {},
          element("bdi", { className: "label", text: this.labels[label] }),
          bar,
          element("span", { className: "number", text: percent(probabilities[label]) }),
        );
      }),
    );
    const read =
      kept < tokens
        ? `${kept.toLocaleString("en")} of ${tokens.toLocaleString("en")} tokens read`
        : `${tokens.toLocaleString("en")} tokens`;
    this.time.textContent = `${duration(milliseconds)} · ${read}`;
    this.text.textContent = typed;
    this.list.replaceChildren();
    this.result.hidden = false;
  }

  /** Colour the words by what leaving them out changes. */
  colour({ pieces, changes, done, label }) {
    const full = Math.max(LEAST_FULL, ...changes.map((change) => Math.abs(change ?? 0)));
    const parts = [];
    let position = 0;
    pieces.forEach(([start, end], index) => {
      parts.push(this.typed.slice(position, start));
      const change = changes[index];
      const word = element("span", { text: this.typed.slice(start, end) });
      const share = Math.abs(change ?? 0) / full;
      if (change !== null && share > 0.02) {
        word.className = change > 0 ? "for" : "against";
        word.style.setProperty("--share", share.toFixed(3));
        word.title = `${signed(change)} log-odds of ${this.labels[label]}`;
      }
      parts.push(word);
      position = end;
    });
    this.text.replaceChildren(...parts, this.typed.slice(position));
    if (done) this.showList(pieces, changes, label);
  }

  showList(pieces, changes, label) {
    const words = pieces.map(([start, end], index) => ({ word: this.typed.slice(start, end), change: changes[index] }));
    const strongest = (sign) =>
      words
        .filter(({ change }) => sign * change >= LEAST_LISTED)
        .sort((one, other) => sign * (other.change - one.change))
        .slice(0, MOST_LISTED);
    const entry = (said, found) =>
      found.length === 0
        ? []
        : [
            element("dt", {}, `${said} `, element("bdi", { text: this.labels[label] })),
            ...found.map(({ word, change }) =>
              element("dd", {}, element("bdi", { text: shortened(word) }), ` ${signed(change)}`),
            ),
          ];
    this.list.replaceChildren(...entry("For", strongest(1)), ...entry("Against", strongest(-1)));
  }
}

/** A long piece of text, its beginning and end. */
function shortened(text) {
  const characters = [...text];
  return characters.length <= 40 ? text : `${characters.slice(0, 19).join("")} … ${characters.slice(-18).join("")}`;
}

/** Everything between the worker and the page. */
class Page {
  constructor(description) {
    this.cards = description.models.map((model, number) => new Card(model, number, description.labels));
    this.text = byId("text");
    this.timer = undefined;
    this.isPrepared = false;
    this.isBroken = false;
    document.title = description.title;
    byId("title").textContent = description.title;
    byId("answers").append(...this.cards.map(({ root }) => root));
    byId("notes").textContent =
      "Percentages are calibrated on each model's validation texts. A word counts by how much the log-odds of the answer fall when it alone is left out; of long texts, neighbouring words are left out together.";
    byId("examples").append(...description.examples.map((example) => this.example(example)));
    // Each kind of message has a method of its name below.
    this.client = new Client((message) => this[message.kind](message));
    this.text.addEventListener("input", () => this.typed());
  }

  example(text) {
    const button = element("button", { type: "button", text, title: text, dir: "auto" });
    button.addEventListener("click", () => {
      this.text.value = text;
      this.typed(0);
    });
    return element("li", {}, button);
  }

  /** The text has changed: read it when typing pauses. */
  typed(pause = TYPING_PAUSE) {
    clearTimeout(this.timer);
    if (this.isBroken) return;
    if (this.text.value.trim() === "") {
      this.client.stop();
      this.cards.forEach((card) => card.clear());
      say("status", this.isPrepared ? "Type a text, or choose an example." : "");
      say("spoken", "");
      return;
    }
    say("status", "");
    this.timer = setTimeout(() => this.readNow(), pause);
  }

  async readNow() {
    const text = this.text.value;
    this.reading = text;
    const isWhole = await this.client.read(text);
    if (!isWhole || text !== this.text.value) return;
    const answers = this.cards
      .filter(({ best }) => best)
      .map(({ name, best }) => `${name}: ${best.label}, ${percent(best.share)}`);
    say("spoken", answers.join("; "));
  }

  progress({ loaded, total }) {
    const bar = byId("progress");
    bar.max = total;
    bar.value = Math.min(loaded, total);
    byId("loading-text").textContent =
      `Loading the models: ${(loaded / MEGABYTE).toFixed(1)} of ${(total / MEGABYTE).toFixed(1)} MB`;
  }

  loaded({ model, difference, differs }) {
    this.cards[model].say(
      differs ? `Scores here differ from those in Python by up to ${percent(difference)}.` : "",
      differs,
    );
    this.cards[model].root.dataset.difference = difference;
    this.typed(0);
  }

  failed({ model, reason }) {
    this.cards[model].say(`This model could not be loaded: ${reason}`, true);
  }

  prepared() {
    this.isPrepared = true;
    byId("loading").hidden = true;
    this.typed(0);
  }

  answer({ read, model, ...found }) {
    if (read === this.client.reads) this.cards[model].show(this.reading, found);
  }

  words({ read, model, ...found }) {
    if (read === this.client.reads) this.cards[model].colour(found);
  }

  finished() {}

  /** A text could not be read; without one, nothing can. */
  broken({ read, reason }) {
    this.isBroken = read === undefined;
    byId("loading").hidden ||= this.isBroken;
    say("status", `Something went wrong: ${reason}`, true);
  }
}

async function start() {
  byId("no-program").hidden = true;
  byId("program").hidden = false;
  try {
    const response = await fetch("models.json");
    if (!response.ok) throw new Error(`models.json: HTTP status ${response.status}`);
    new Page(await response.json());
  } catch (error) {
    byId("loading").hidden = true;
    say("status", `The page could not be started: ${error.message}`, true);
  }
}

start();
