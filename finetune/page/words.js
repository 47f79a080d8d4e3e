// Which words an answer hangs on: each is left out once, and the log-odds of the answer are compared.

// Of a longer text, neighbouring words are left out together, so that no text takes more readings than these.
export const MOST_PIECES = 64;

const OTHER_WORDS = /[\p{L}\p{M}\p{N}]+(?:['’.\-_][\p{L}\p{M}\p{N}]+)*|\p{Extended_Pictographic}\uFE0F?/gu;
const PICTURE = /\p{Extended_Pictographic}/u;

/** The words and pictures of a text as [start, end]. */
export function wordsOf(text) {
  if (typeof Intl.Segmenter !== "function") {
    return [...text.matchAll(OTHER_WORDS)].map((match) => [match.index, match.index + match[0].length]);
  }
  const segments = new Intl.Segmenter("en", { granularity: "word" }).segment(text);
  const words = [];
  for (const { segment, index, isWordLike } of segments) {
    if (isWordLike || PICTURE.test(segment)) words.push([index, index + segment.length]);
  }
  return words;
}

/** The pieces of a text that are left out, as [start, end]: words, or as many neighbours at once as need be. */
export function piecesOf(text) {
  const words = wordsOf(text);
  const size = Math.ceil(words.length / MOST_PIECES);
  const pieces = [];
  for (let first = 0; first < words.length; first += size) {
    const last = Math.min(first + size, words.length) - 1;
    pieces.push([words[first][0], words[last][1]]);
  }
  return pieces;
}

/** A text without a piece; of the two spaces around it, one stays. */
export function without(text, [start, end]) {
  const before = text.slice(0, start);
  const after = text.slice(end);
  return before + (/(^|\s)$/.test(before) ? after.replace(/^\s/, "") : after);
}

/** Class probabilities from scores before the softmax. */
export function calibrated(logits, temperature) {
  const scaled = logits.map((logit) => logit / temperature);
  const largest = Math.max(...scaled);
  const shares = scaled.map((logit) => Math.exp(logit - largest));
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.map((share) => share / sum);
}

/** The log-odds of a class against all others: log(p / (1 - p)), without rounding p. */
export function logOdds(logits, temperature, label) {
  const others = logits.filter((_, index) => index !== label).map((logit) => logit / temperature);
  const largest = Math.max(...others);
  const sum = others.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return logits[label] / temperature - largest - Math.log(sum);
}
