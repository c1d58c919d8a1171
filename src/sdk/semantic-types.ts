/**
 * The public types of the semantic cache. No code: importing this file costs nothing at run time.
 *
 * @module
 */

import type { Database, VectorLike } from "vectorlite";

/** Options of {@link semanticCache}. */
export interface SemanticCacheOptions {
  /**
   * The file; `":memory:"` keeps nothing. Default `"./answers.cache"`. It is opened with the
   * durability `"normal"`: a power loss may take the answers of the last second.
   */
  path?: string | undefined;
  /**
   * An open database to keep the answers in, instead of `path`. Collections whose names begin with
   * `answers/` belong to the cache. It stays open when the cache is closed.
   */
  database?: Database | undefined;
  /**
   * Makes the vector of a prompt, where the prompt itself is not stored. The vectors of the last 64
   * prompts are kept, so that `set()` after `get()` costs no second call.
   */
  embed: (text: string) => VectorLike | PromiseLike<VectorLike>;
  /**
   * The cosine similarity, in [-1, 1], from which on two prompts count as the same question. There
   * is no default: it depends on the model and on the prompts. `calibrate()` measures it.
   */
  threshold: number;
  /** The namespace of calls that name none. Default `"default"`. */
  namespace?: string | undefined;
  /** Identity of the embedding model; answers that were stored under another one are an error. */
  model?: string | undefined;
  /** Milliseconds that an answer lives, 1 or more; `Infinity` for ever. Default `Infinity`. */
  ttl?: number | undefined;
  /**
   * Answers that a namespace holds at most, 1 or more; beyond them those that were stored first go,
   * a sixteenth at once where there are many. Default: no bound.
   */
  maxEntries?: number | undefined;
}

/** An answer that was found. */
export interface CachedAnswer<Answer> {
  /** The prompt that it was stored for. */
  prompt: string;
  /** A copy that the caller owns. */
  answer: Answer;
  /** Cosine similarity of both prompts in [-1, 1]; 1 where `exact`. */
  score: number;
  /** Whether the prompt itself was stored, and not one that is similar. */
  exact: boolean;
}

/** Which answers a call is about. */
export interface AnswerOptions {
  /** The namespace; an answer never leaves it. At most 247 bytes of UTF-8. */
  namespace?: string | undefined;
}

/** Options of `get()`. */
export interface GetAnswerOptions extends AnswerOptions {
  /** The threshold of this call, in [-1, 1]. Default: that of the cache. */
  threshold?: number | undefined;
  /** Ends the wait of this call, which then rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** Options of `set()`. */
export interface SetAnswerOptions extends AnswerOptions {
  /** Milliseconds that this answer lives, 1 or more, or `Infinity`. Default: that of the cache. */
  ttl?: number | undefined;
}

/** Options of `getOrCompute()`. */
export interface ComputeAnswerOptions extends GetAnswerOptions, SetAnswerOptions {
  /**
   * Ends the wait of this call, which then rejects with the signal's reason. The computation is
   * told to stop when nobody waits for it any more.
   */
  signal?: AbortSignal | undefined;
}

/** Makes the answer of a prompt, now or later. */
export type ComputeAnswer<Answer> = (
  prompt: string,
  context: { readonly signal: AbortSignal },
) => Answer | PromiseLike<Answer>;

/** What a semantic cache did since it was opened. */
export interface SemanticCacheStats {
  /** Lookups that found the prompt itself. */
  exactHits: number;
  /** Lookups that found a similar prompt. */
  similarHits: number;
  /** Lookups that found nothing. */
  misses: number;
  /** Calls of `getOrCompute()` that waited for the lookup and computation of another one. */
  joins: number;
  /** Answers that were stored. */
  sets: number;
  /** Calls of `embed`. */
  embeddings: number;
  /** Answers that were deleted because their time was over. */
  expirations: number;
  /** Answers that were deleted to keep `maxEntries`. */
  evictions: number;
}

/** Two prompts, and whether one answer is right for both. */
export interface LabelledPair {
  /** A prompt. */
  a: string;
  /** Another prompt. */
  b: string;
  /** Whether the answer of one is a right answer of the other. */
  same: boolean;
}

/** Options of `calibrate()`. */
export interface CalibrateOptions {
  /** The wished part of right ones among similar hits, in (0, 1]; for example 0.99. */
  precision: number;
  /** Whether the cache goes on with the threshold that was found. Default `false`. */
  apply?: boolean | undefined;
}

/** What one threshold does on labelled pairs. A pair at or above it is a hit. */
export interface CalibrationPoint {
  /** The threshold. */
  threshold: number;
  /** Pairs that are hits. */
  hits: number;
  /** The part of the hits that are `same`: hits with a right answer. */
  precision: number;
  /**
   * The lower bound of the precision at 95 % confidence (Wilson, one-sided): what so many pairs
   * show. It does not know that the threshold was chosen on the same pairs.
   */
  precisionLow: number;
  /** The part of the pairs that are `same` which are hits. */
  recall: number;
  /**
   * The part of the pairs that are not `same` which are hits: how often two different questions
   * would share an answer.
   */
  falseHitRate: number;
}

/** What `calibrate()` found. */
export interface CalibrationReport {
  /**
   * The lowest threshold, rounded down to six decimals, that is `proven` to have the wished
   * precision; where none is, the lowest whose hits on these pairs had it; `undefined` where none
   * had.
   */
  threshold: number | undefined;
  /** Measured there, see {@link CalibrationPoint}; `undefined` without a threshold. */
  precision: number | undefined;
  /** Measured there, see {@link CalibrationPoint}; `undefined` without a threshold. */
  precisionLow: number | undefined;
  /** Measured there, see {@link CalibrationPoint}; 0 without a threshold. */
  recall: number;
  /** Measured there, see {@link CalibrationPoint}; 0 without a threshold. */
  falseHitRate: number;
  /**
   * Whether the pairs are enough to show the wished precision: `precisionLow` reaches it. Where
   * they are not, the threshold is a guess that these pairs do not contradict.
   */
  proven: boolean;
  /** Hits, without a false one, that it takes to prove the wished precision; `Infinity` for 1. */
  hitsNeeded: number;
  /** Pairs that were given. */
  pairs: number;
  /** Every threshold that differs on these pairs, the strictest first. */
  curve: CalibrationPoint[];
}
