/** Who takes the text of a message as SEARCH sees it: field by field and part by part. */
export interface TextSink {
  /** Nothing more is wanted. */
  readonly done: boolean;
  /** Text that goes on where the last piece ended. */
  add(text: string): void;
  /** What follows does not touch what was before (next part, next field). */
  cut(): void;
}
