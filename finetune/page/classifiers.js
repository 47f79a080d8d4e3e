// Models as functions of texts: an entry of models.json and its files → scores before the softmax.

import { BagOfWords } from "./bag_of_words.js";
import { Encoder } from "./encoding.js";
import * as ort from "./vendor/ort.wasm.min.mjs";

// Processors are counted twice where each runs two threads; more threads than processors are slower than one.
const MOST_THREADS = 4;
const THREADS = Math.max(1, Math.min(MOST_THREADS, Math.floor(navigator.hardwareConcurrency / 2)));
// Of texts that are read together.
const MOST_TEXTS = 16;
const MOST_TOKENS = 1024;

/** The bytes of a file of this page. */
export async function download(url, told) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${new URL(url).pathname.split("/").pop()}: HTTP status ${response.status}`);
  const reader = response.body.getReader();
  const parts = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    told(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Prepare the runtime of neural models: its files are this page's own. */
export async function prepareRuntime(told) {
  const vendor = new URL("./vendor/", import.meta.url);
  ort.env.wasm.wasmPaths = vendor.href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? THREADS : 1;
  ort.env.wasm.wasmBinary = await download(new URL("ort-wasm-simd-threaded.wasm", vendor), told);
}

/** An encoder or a recurrent model. */
class Neural {
  constructor(session, encoder, model) {
    this.session = session;
    this.encoder = encoder;
    this.model = model;
  }

  static async load(folder, model, told) {
    const content = JSON.parse(new TextDecoder().decode(await download(new URL(model.tokenizer, folder), told)));
    const weights = await download(new URL(model.file, folder), told);
    const session = await ort.InferenceSession.create(weights, { executionProviders: ["wasm"] });
    return new Neural(session, new Encoder(content, model), model);
  }

  /** What the model reads of a text. */
  read(text) {
    const { ids, tokens, kept } = this.encoder.encode(text);
    return { ids, tokens, kept, key: ids.join(" ") };
  }

  /** How many of some readings are computed at once. */
  batchSize(readings) {
    const longest = Math.max(...readings.map(({ ids }) => ids.length));
    return Math.max(1, Math.min(MOST_TEXTS, Math.floor(MOST_TOKENS / longest)));
  }

  async logits(readings) {
    const shape = [readings.length, Math.max(...readings.map(({ ids }) => ids.length))];
    const size = shape[0] * shape[1];
    const arrays = {
      input_ids: new BigInt64Array(size).fill(BigInt(this.model.pad_id)),
      attention_mask: new BigInt64Array(size),
      token_type_ids: new BigInt64Array(size),
    };
    readings.forEach(({ ids }, row) => {
      ids.forEach((id, column) => {
        arrays.input_ids[row * shape[1] + column] = BigInt(id);
        arrays.attention_mask[row * shape[1] + column] = 1n;
      });
    });
    const inputs = this.session.inputNames.map((name) => [name, new ort.Tensor("int64", arrays[name], shape)]);
    const output = (await this.session.run(Object.fromEntries(inputs))).logits;
    const classes = output.dims[1];
    const values = readings.map((_, row) => Array.from(output.data.subarray(row * classes, (row + 1) * classes)));
    output.dispose();
    return values;
  }
}

/** Counting words. */
class Linear {
  constructor(words) {
    this.words = words;
  }

  static async load(folder, model, told) {
    return new Linear(new BagOfWords(await download(new URL(model.file, folder), told), model));
  }

  read(text) {
    const { counts, tokens } = this.words.read(text);
    return { counts, tokens, kept: tokens, key: text };
  }

  batchSize() {
    return MOST_TEXTS;
  }

  async logits(readings) {
    return readings.map(({ counts }) => this.words.logits(counts));
  }
}

/** Load a model from its folder. */
export function load(folder, model, told) {
  return (model.kind === "neural" ? Neural : Linear).load(folder, model, told);
}
