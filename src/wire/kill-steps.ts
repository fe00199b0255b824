/**
 * Steps of a delivery at which the loss proof may end the service; what they mean says `delivery/intake-options.ts`. In stage `store`
 * the first four, where mail is handed on the others: `pending` in stage `mirror` only.
 */
export const KILL_STEPS = [
  "received",
  "decided",
  "persisted",
  "committed",
  "pending",
  "relay_open",
  "relay_sent",
  "relayed",
  "relay_recorded",
] as const;
export type KillStep = (typeof KILL_STEPS)[number];

/** Steps that every delivery passes, in their order. */
export const STEPS_OF_STORE: readonly KillStep[] = ["received", "decided", "persisted", "committed"];
export const STEPS_OF_RELAY: readonly KillStep[] = [
  "received",
  "decided",
  "relay_open",
  "relay_sent",
  "relayed",
  "relay_recorded",
];
