/**
 * The choice of a threshold from labelled pairs.
 *
 * A false hit is a wrong answer, and how similar two different questions are depends on the model
 * and on the prompts. So the threshold is measured, and the report says how much the pairs show:
 * ten pairs without a mistake are no proof of 99 %.
 *
 * @module
 */

import { VectorLiteError } from "vectorlite";
import type { CalibrationPoint, CalibrationReport } from "./semantic-types.ts";

/** The similarity of two prompts, and whether they mean the same. */
export interface ScoredPair {
  readonly score: number;
  readonly same: boolean;
}

/** The 95 % quantile of the normal distribution. */
const z = 1.6448536269514722;

/**
 * Chooses the lowest threshold, which is the one with the most hits, whose hits are shown to have
 * the wished precision; where the pairs are too few to show that of any, the lowest whose hits had
 * it. Thresholds are scores of the pairs.
 *
 * @throws VectorLiteError ERR_INVALID_ARGUMENT where all pairs have one label, which fits any
 * threshold.
 */
export function chooseThreshold(
  pairs: readonly ScoredPair[],
  precision: number,
): CalibrationReport {
  const curve = curveOf(pairs);
  const shown = curve.findLast(({ precisionLow }) => precisionLow >= precision);
  const chosen = shown ?? curve.findLast((point) => point.precision >= precision);
  return {
    threshold: chosen?.threshold,
    precision: chosen?.precision,
    precisionLow: chosen?.precisionLow,
    recall: chosen?.recall ?? 0,
    falseHitRate: chosen?.falseHitRate ?? 0,
    proven: shown !== undefined,
    hitsNeeded: Math.ceil((z * z * precision) / (1 - precision)),
    pairs: pairs.length,
    curve,
  };
}

/** One point for each distinct score, the highest first. */
function curveOf(pairs: readonly ScoredPair[]): CalibrationPoint[] {
  const same = pairs.filter((pair) => pair.same).length;
  const different = pairs.length - same;
  if (same === 0 || different === 0) {
    throw new VectorLiteError(
      "ERR_INVALID_ARGUMENT",
      `A calibration needs pairs that are the same and pairs that are not; found ${same} and ` +
        `${different}. Add those that are missing.`,
    );
  }
  const sorted = pairs.toSorted((a, b) => b.score - a.score);
  const curve: CalibrationPoint[] = [];
  let right = 0;
  for (const [index, pair] of sorted.entries()) {
    if (pair.same) right++;
    if (sorted[index + 1]?.score === pair.score) continue;
    const hits = index + 1;
    curve.push({
      threshold: pair.score,
      hits,
      precision: right / hits,
      precisionLow: wilsonLowerBound(right, hits),
      recall: right / same,
      falseHitRate: (hits - right) / different,
    });
  }
  return curve;
}

/**
 * The lower bound of a proportion, one-sided at 95 % (Wilson's score interval): it stays honest for
 * small samples and for proportions near 1, where the normal approximation does not.
 */
export function wilsonLowerBound(successes: number, trials: number): number {
  const rate = successes / trials;
  const square = (z * z) / trials;
  const spread = z * Math.sqrt((rate * (1 - rate)) / trials + square / (4 * trials));
  return Math.max(0, (rate + square / 2 - spread) / (1 + square));
}

/**
 * The cosine similarity of two vectors, rounded down to six decimals: a threshold that people can
 * write down, and that the pair which it comes from reaches whatever the last bits of its score.
 *
 * @throws VectorLiteError ERR_DIMENSION, ERR_INVALID_VECTOR
 */
export function roundedCosine(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) {
    throw new VectorLiteError(
      "ERR_DIMENSION",
      `embed made vectors of ${a.length} and of ${b.length} dimensions; expected one dimension.`,
    );
  }
  let product = 0;
  let squareA = 0;
  let squareB = 0;
  for (let index = 0; index < a.length; index++) {
    const [x, y] = [a[index] ?? 0, b[index] ?? 0];
    product += x * y;
    squareA += x * x;
    squareB += y * y;
  }
  const score = product / Math.sqrt(squareA * squareB);
  if (Number.isFinite(score)) return Math.max(-1, Math.floor((score - 1e-9) * 1e6) / 1e6);
  throw new VectorLiteError(
    "ERR_INVALID_VECTOR",
    "embed made a vector of zeros, or one with NaN or infinity, which has no direction.",
  );
}
