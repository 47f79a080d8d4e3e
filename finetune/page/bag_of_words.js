// Counting words: texts → scores, as finetune/classification/bag_of_words.py computes them.

// Python's `\w+|[^\w\s]`: its \w is letters and numbers of all scripts and "_", its \s what `str.isspace` is true of.
const SPACE = "\\t-\\r\\x1C-\\x20\\x85\\xA0\\u1680\\u2000-\\u200A\\u2028\\u2029\\u202F\\u205F\\u3000";
const TOKEN = new RegExp(`[\\p{L}\\p{N}_]+|[^\\p{L}\\p{N}_${SPACE}]`, "gu");
// The least probability, for logarithms.
const TINY = 1e-12;

/** The words and signs of a text, lower-cased. */
export function tokensOf(text) {
  return text.toLowerCase().match(TOKEN) ?? [];
}

const logistic = (value) => 1 / (1 + Math.exp(-value));

/** A fitted linear model. Its file is told in finetune/page/linear.py. */
export class BagOfWords {
  /**
   * @param file the bytes of `bag_of_words.bin`.
   * @param model the model's entry in `models.json`.
   */
  constructor(file, model) {
    const { sequences, vectors, features, longest } = model;
    this.isTfIdf = features === "tf-idf";
    this.longest = longest;
    this.features = sequences;
    let position = 0;
    const take = (Type, length) => {
      const array = new Type(file.buffer, file.byteOffset + position, length);
      position += array.byteLength;
      return array;
    };
    this.offsets = take(Uint32Array, sequences + 1);
    this.idf = take(Float32Array, this.isTfIdf ? sequences : 0);
    this.weights = Array.from({ length: vectors }, () => take(Float32Array, sequences));
    this.bias = take(Float32Array, vectors);
    this.words = file.subarray(position);
    if (this.words.length !== this.offsets[sequences]) throw new Error("the file has not the length it tells of");
    this.utf8 = new TextEncoder();
  }

  /** The number of the feature of a sequence of words; -1 if the training texts had none. */
  find(sequence) {
    const wanted = this.utf8.encode(sequence);
    let low = 0;
    let high = this.features - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = this.compare(wanted, middle);
      if (order === 0) return middle;
      if (order < 0) high = middle - 1;
      else low = middle + 1;
    }
    return -1;
  }

  /** Whether bytes come before (< 0), are (0) or come after (> 0) those of a feature. */
  compare(wanted, feature) {
    const start = this.offsets[feature];
    const length = this.offsets[feature + 1] - start;
    const shared = Math.min(wanted.length, length);
    for (let index = 0; index < shared; index++) {
      const difference = wanted[index] - this.words[start + index];
      if (difference !== 0) return difference;
    }
    return wanted.length - length;
  }

  /** How often each known sequence of words occurs in a text, and how many words and signs it has. */
  read(text) {
    const tokens = tokensOf(text);
    const counts = new Map();
    for (let start = 0; start < tokens.length; start++) {
      let sequence = tokens[start];
      for (let length = 1; length <= this.longest && start + length <= tokens.length; length++) {
        if (length > 1) sequence += ` ${tokens[start + length - 1]}`;
        const feature = this.find(sequence);
        if (feature >= 0) counts.set(feature, (counts.get(feature) ?? 0) + 1);
      }
    }
    return { counts, tokens: tokens.length };
  }

  /** The logarithms of the class probabilities, without temperature, from the counts of a text. */
  logits(counts) {
    const values = new Map();
    let squares = 0;
    for (const [feature, count] of counts) {
      const value = this.isTfIdf ? (1 + Math.log(count)) * this.idf[feature] : 1;
      values.set(feature, value);
      squares += value * value;
    }
    const scale = this.isTfIdf && squares > 0 ? 1 / Math.sqrt(squares) : 1;
    const scores = this.weights.map((weights, vector) => {
      let sum = this.bias[vector];
      for (const [feature, value] of values) sum += scale * value * weights[feature];
      return sum;
    });
    return this.shares(scores).map((share) => Math.log(Math.max(share, TINY)));
  }

  /** Class probabilities from the scores of the weight vectors. */
  shares(scores) {
    if (scores.length === 1) return [logistic(-scores[0]), logistic(scores[0])];
    const largest = Math.max(...scores);
    const shares = scores.map(this.isTfIdf ? (score) => Math.exp(score - largest) : logistic);
    const sum = shares.reduce((total, share) => total + share, 0);
    return shares.map((share) => share / sum);
  }
}
