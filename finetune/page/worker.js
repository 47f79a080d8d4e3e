// Loads the models and reads texts, away from the page, so that typing never waits.
//
// In: { read, text, words }: read a text, and find its words that matter. Only the newest text is read to its end.
// Out, each with its kind: "progress", "loaded" and "failed" of models, "prepared" when all have been tried; of a text
// "answer" and "words" of each model, and "finished".

import { download, load, prepareRuntime } from "./classifiers.js";
import { calibrated, logOdds, piecesOf, without } from "./words.js";

const HERE = new URL("./", import.meta.url);

const classifiers = new Map();
let newest = 0;
let turn = Promise.resolve();

/** Run tasks one after the other: a model reads one batch at a time. */
function inTurn(task) {
  const result = turn.then(task);
  turn = result.catch(() => {});
  return result;
}

/** Let messages come in. */
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

async function loadAll() {
  const { models, runtime_bytes: runtimeBytes } = JSON.parse(
    new TextDecoder().decode(await download(new URL("models.json", HERE), () => {})),
  );
  const hasNeural = models.some(({ kind }) => kind === "neural");
  const total = models.reduce((sum, { bytes }) => sum + bytes, hasNeural ? runtimeBytes : 0);
  let loaded = 0;
  const told = (bytes) => {
    loaded += bytes;
    postMessage({ kind: "progress", loaded, total });
  };
  // The small ones first: they answer while the others load.
  const order = models.map((_, number) => number).sort((one, other) => models[one].bytes - models[other].bytes);
  let runtime = null;
  for (const number of order) {
    const model = models[number];
    try {
      if (model.kind === "neural") await (runtime ??= prepareRuntime(told));
      const classifier = await load(new URL(`${model.folder}/`, HERE), model, told);
      const difference = await inTurn(() => largestDifference(classifier, model));
      classifiers.set(number, { classifier, model });
      postMessage({ kind: "loaded", model: number, difference, differs: !(difference <= model.tolerance) });
    } catch (error) {
      postMessage({ kind: "failed", model: number, reason: String(error?.message ?? error) });
    }
  }
  postMessage({ kind: "prepared" });
}

/** How far a model's scores are from those that Python computed when the page was made. */
async function largestDifference(classifier, { checks, temperature }) {
  let largest = 0;
  for (const { text, probabilities } of checks) {
    const [logits] = await classifier.logits([classifier.read(text)]);
    const differences = calibrated(logits, temperature).map((share, label) => Math.abs(share - probabilities[label]));
    largest = Math.max(largest, ...differences);
  }
  return largest;
}

async function readText({ read, text, words }) {
  const answers = [];
  for (const [number, { classifier, model }] of [...classifiers].sort(([one], [other]) => one - other)) {
    await pause();
    if (read !== newest) return;
    const start = performance.now();
    const reading = classifier.read(text);
    const [logits] = await classifier.logits([reading]);
    const milliseconds = performance.now() - start;
    const probabilities = calibrated(logits, model.temperature);
    const { tokens, kept } = reading;
    postMessage({ kind: "answer", read, model: number, probabilities, milliseconds, tokens, kept });
    answers.push({
      number,
      classifier,
      model,
      reading,
      logits,
      label: probabilities.indexOf(Math.max(...probabilities)),
    });
  }
  if (!words) return;
  for (const answer of answers) await findWords(read, text, answer);
}

/** Leave each piece of a text out once, and tell what that changes as it is found. */
async function findWords(read, text, { number, classifier, model, reading, logits, label }) {
  const pieces = piecesOf(text);
  const whole = logOdds(logits, model.temperature, label);
  const readings = pieces.map((piece) => classifier.read(without(text, piece)));
  // Where a piece is beyond what the model reads, nothing changes, and nothing is computed.
  const known = new Map([[reading.key, logits]]);
  const waiting = [...new Map(readings.map((one) => [one.key, one])).values()].filter(({ key }) => !known.has(key));
  const changes = () =>
    readings.map(({ key }) => (known.has(key) ? whole - logOdds(known.get(key), model.temperature, label) : null));
  while (waiting.length > 0) {
    await pause();
    if (read !== newest) return;
    const batch = waiting.splice(0, classifier.batchSize(waiting));
    const found = await classifier.logits(batch);
    batch.forEach(({ key }, index) => known.set(key, found[index]));
    if (waiting.length > 0)
      postMessage({ kind: "words", read, model: number, label, pieces, changes: changes(), done: false });
  }
  postMessage({ kind: "words", read, model: number, label, pieces, changes: changes(), done: true });
}

self.onmessage = ({ data }) => {
  newest = data.read;
  if (data.text === undefined) return;
  inTurn(() => readText(data))
    .catch((error) => postMessage({ kind: "broken", read: data.read, reason: String(error?.message ?? error) }))
    .then(() => postMessage({ kind: "finished", read: data.read, whole: data.read === newest }));
};

loadAll().catch((error) => postMessage({ kind: "broken", reason: String(error?.message ?? error) }));
