/**
 * Scores as frameworks expect them: the larger the closer, whatever the metric.
 *
 * @module
 */

import type { Metric } from "vectorlite";

/**
 * Cosine similarity and dot product as they are; of a Euclidean distance d, 1 / (1 + d), which is
 * in (0, 1] and 1 for equal vectors.
 */
export function similarityOf(score: number, metric: Metric): number {
  return metric === "l2" ? 1 / (1 + score) : score;
}
