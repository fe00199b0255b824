/** The tools for authors of plugins, as `main.ts` hands them to the commands: what runs plugins here runs them there too. */
import { makeAuthorTools } from "../author/tools.ts";
import { createTransport } from "./transports.ts";

export const authorTools = makeAuthorTools(() => createTransport);
