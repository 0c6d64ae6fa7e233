import { writeGeneratedFiles } from "./files.ts";

// deno task monitoring
writeGeneratedFiles();
