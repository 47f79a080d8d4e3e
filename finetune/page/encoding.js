// A text → the ids that a model reads, the same ones as in Python.

import { Tokenizer } from "./vendor/tokenizers.min.mjs";

// The Chinese characters that BERT sets apart and that take two units of UTF-16, which the tokenizer looks at singly.
const FAR_CHINESE = /[\u{20000}-\u{2A6DF}\u{2A700}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{2F800}-\u{2FA1F}]/gu;
const HALF_CHARACTER = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/** Round as Python does: halves to the even neighbour. */
function roundToEven(number) {
  const floor = Math.floor(number);
  const distance = number - floor;
  return distance === 0.5 ? floor + (floor % 2) : Math.round(number);
}

/** Cut ids to `length`: their beginning and their end; `headShare` is the share of the beginning. */
export function headAndTail(ids, length, headShare) {
  if (ids.length <= length) return ids;
  const head = roundToEven(headShare * length);
  return [...ids.slice(0, head), ...ids.slice(ids.length - (length - head))];
}

/** A text in which half of a character, as a text box may hold one, is the character for what cannot be read. */
export function whole(text) {
  return text.replace(HALF_CHARACTER, "\uFFFD");
}

/** The tokenizer of a model, with its length and the tokens around a text. */
export class Encoder {
  /**
   * @param content what `tokenizer.json` holds.
   * @param model the model's entry in `models.json`.
   */
  constructor(content, model) {
    this.tokenizer = new Tokenizer(content, {});
    this.model = model;
  }

  /** The ids with special tokens, cut to the model's length, and how many tokens the whole text has. */
  encode(text) {
    const { bert_normalizers: normalizers, cls_id, sep_id, length, head_share } = this.model;
    let prepared = whole(text);
    if (normalizers.chinese) prepared = prepared.replace(FAR_CHINESE, " $& ");
    // Python's tokenizers lower-case a letter without looking at its neighbours; browsers write the last sigma of a
    // word as another letter.
    if (normalizers.lowercase) prepared = prepared.replaceAll("Σ", "σ");
    const { ids } = this.tokenizer.encode(prepared, { add_special_tokens: false });
    const kept = length === null ? ids : headAndTail(ids, length - 2, head_share);
    return { ids: [cls_id, ...kept, sep_id], tokens: ids.length, kept: kept.length };
  }
}
