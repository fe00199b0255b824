/**
 * Named steps of a delivery, in their order. `received`: all bytes are here, nothing is durable. `decided`: hooks have run.
 * `persisted`: the blob is durable. `committed`: the rows are, and nobody was answered yet.
 */
export const DELIVERY_STEPS = ["received", "decided", "persisted", "committed"] as const;
export type DeliveryStep = (typeof DELIVERY_STEPS)[number];
