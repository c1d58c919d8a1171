/**
 * The threshold that a calibration chooses is the right one, and its report is honest.
 */

import fc from "fast-check";
import type { CalibrationPoint } from "vectorlite/semantic-cache";
import { describe, expect, test } from "vitest";
import {
  chooseThreshold,
  roundedCosine,
  type ScoredPair,
  wilsonLowerBound,
} from "../src/sdk/calibration.ts";
import { expectCode } from "./helpers.ts";

/** Few distinct scores, so that many are equal. */
const anyPair: fc.Arbitrary<ScoredPair> = fc.record({
  score: fc.integer({ min: -5, max: 10 }).map((tenths) => tenths / 10),
  same: fc.boolean(),
});

const anyPairs: fc.Arbitrary<ScoredPair[]> = fc
  .array(anyPair, { minLength: 2, maxLength: 40 })
  .filter((pairs) => new Set(pairs.map(({ same }) => same)).size === 2);

const anyPrecision: fc.Arbitrary<number> = fc.constantFrom(0.01, 0.3, 0.5, 0.75, 0.9, 0.99, 1);

/** What a threshold does, counted pair by pair. */
function measure(
  pairs: readonly ScoredPair[],
  threshold: number,
): Omit<CalibrationPoint, "threshold"> {
  const count = (is: (pair: ScoredPair) => boolean): number => pairs.filter(is).length;
  const isHit = ({ score }: ScoredPair): boolean => score >= threshold;
  const hits = count(isHit);
  const right = count((pair) => isHit(pair) && pair.same);
  const wrong = count((pair) => isHit(pair) && !pair.same);
  return {
    hits,
    precision: right / hits,
    precisionLow: wilsonLowerBound(right, hits),
    recall: right / count(({ same }) => same),
    falseHitRate: wrong / count(({ same }) => !same),
  };
}

describe("the threshold", () => {
  test("is the lowest that shows the wished precision, else the lowest that has it", () => {
    fc.assert(
      fc.property(anyPairs, anyPrecision, (pairs, precision) => {
        const reaching = (measured: "precision" | "precisionLow"): number[] =>
          pairs
            .map(({ score }) => score)
            .filter((score) => measure(pairs, score)[measured] >= precision);
        const proven = reaching("precisionLow").length > 0;
        const enough = proven ? reaching("precisionLow") : reaching("precision");
        const report = chooseThreshold(pairs, precision);
        expect(report.proven).toBe(proven);
        if (enough.length === 0) {
          expect(report.threshold).toBeUndefined();
          expect(report).toMatchObject({ precision: undefined, recall: 0, falseHitRate: 0 });
          return;
        }
        const lowest = Math.min(...enough);
        const { hits: _, ...measured } = measure(pairs, lowest);
        expect(report).toMatchObject({ threshold: lowest, pairs: pairs.length, ...measured });
      }),
    );
  });

  test("does not depend on the order of the pairs", () => {
    fc.assert(
      fc.property(anyPairs, anyPrecision, (pairs, precision) => {
        const reversed = chooseThreshold(pairs.toReversed(), precision);
        expect(reversed).toEqual(chooseThreshold(pairs, precision));
      }),
    );
  });

  test("is a point of the curve, which has every distinct score, the strictest first", () => {
    fc.assert(
      fc.property(anyPairs, (pairs) => {
        const { curve } = chooseThreshold(pairs, 0.9);
        const scores = [...new Set(pairs.map(({ score }) => score))].sort((a, b) => b - a);
        expect(curve.map(({ threshold }) => threshold)).toEqual(scores);
        for (const point of curve) expect(point).toMatchObject(measure(pairs, point.threshold));
      }),
    );
  });

  test("needs pairs of both labels", () => {
    expectCode(() => chooseThreshold([], 0.9), "ERR_INVALID_ARGUMENT");
    const same = { score: 0.9, same: true };
    expectCode(() => chooseThreshold([same, same], 0.9), "ERR_INVALID_ARGUMENT");
    const different = { score: 0.9, same: false };
    expectCode(() => chooseThreshold([different], 0.9), "ERR_INVALID_ARGUMENT");
  });
});

describe("the confidence", () => {
  const pairsOf = (right: number): ScoredPair[] => [
    { score: 0, same: false },
    ...Array.from({ length: right }, () => ({ score: 1, same: true })),
  ];

  test("of ten pairs without a mistake is no 99 %", () => {
    const report = chooseThreshold(pairsOf(10), 0.99);
    expect(report).toMatchObject({ threshold: 1, precision: 1, proven: false });
    expect(report.precisionLow).toBeCloseTo(0.787, 3);
  });

  test("of as many as the report asks for is, and of one less is not", () => {
    const { hitsNeeded } = chooseThreshold(pairsOf(1), 0.99);
    expect(hitsNeeded).toBe(268);
    const enough = chooseThreshold(pairsOf(hitsNeeded), 0.99);
    expect(enough).toMatchObject({ proven: true, threshold: 1, falseHitRate: 0 });
    // One less shows nothing; then even the one mistake of 268 hits is within what is wished.
    const less = chooseThreshold(pairsOf(hitsNeeded - 1), 0.99);
    expect(less).toMatchObject({ proven: false, threshold: 0, falseHitRate: 1 });
    expect(chooseThreshold(pairsOf(1000), 1)).toMatchObject({
      hitsNeeded: Number.POSITIVE_INFINITY,
      proven: false,
    });
  });

  test("is Wilson's lower bound: roots of its equation, and of nothing below 0", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), fc.double({ min: 0, max: 1 }), (n, part) => {
        const successes = Math.round(n * (Number.isNaN(part) ? 0 : part));
        const low = wilsonLowerBound(successes, n);
        const rate = successes / n;
        expect(low).toBeGreaterThanOrEqual(0);
        expect(low).toBeLessThanOrEqual(rate + 1e-15);
        // At the bound, what was measured is 1.645 standard deviations away.
        expect(rate - low).toBeCloseTo(1.6448536 * Math.sqrt((low * (1 - low)) / n), 6);
      }),
    );
  });
});

describe("the cosine", () => {
  test("is rounded down, so that the pair reaches it", () => {
    const a = Float32Array.of(1, 2, 3);
    expect(roundedCosine(a, a)).toBe(0.999999);
    // No threshold is lower, and every pair reaches it.
    expect(roundedCosine(a, Float32Array.of(-1, -2, -3))).toBe(-1);
    expect(roundedCosine(Float32Array.of(3, 4), Float32Array.of(4, 3))).toBe(0.959999);
  });
});
