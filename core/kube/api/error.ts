/** An error of the API server: a response that is not 2xx, or an ERROR event of a watch. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    /** HTTP status. */
    readonly status: number,
    /** metav1.Status reason: "Expired", "Forbidden" …; "" when unknown. */
    readonly reason: string,
    message: string,
    /** Delay that the server asks for, in milliseconds. */
    readonly retryAfterMs: number | undefined,
  ) {
    super(message);
  }

  /** True when the resource version or the continue token is too old, so that a new list is needed. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === "Expired" || this.reason === "Gone";
  }
}

/** Reads the error in a response. Its body is a metav1.Status unless a proxy in between answered. */
export async function readError(response: Response): Promise<ApiError> {
  const text = await startOf(response);
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  const retryAfterMs = seconds >= 0 ? Math.min(seconds, MAX_RETRY_AFTER_SECONDS) * 1000 : undefined;
  const status = parseStatus(text);
  const message = status?.message || text.replaceAll(/\s+/g, " ").trim().slice(0, 200) || response.statusText;
  return new ApiError(response.status, status?.reason ?? "", `${response.status}: ${message}`, retryAfterMs);
}

/** The error in an ERROR event of a watch. */
export function errorOfStatus(status: unknown): ApiError {
  const { code, reason, message } = statusFields(status);
  return new ApiError(code, reason, `${code}: ${message || reason || "an ERROR event"}`, undefined);
}

/** Upper bound of Retry-After. */
const MAX_RETRY_AFTER_SECONDS = 300;
/** Number of bytes of an error body that are read. */
const MAX_BODY_BYTES = 64 * 1024;

async function startOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length >= MAX_BODY_BYTES) break;
  }
  return text;
}

function parseStatus(text: string): ReturnType<typeof statusFields> | undefined {
  try {
    return statusFields(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function statusFields(
  status: unknown,
): { readonly code: number; readonly reason: string; readonly message: string } {
  const field = (name: string): unknown =>
    typeof status === "object" && status !== null ? Reflect.get(status, name) : undefined;
  const [code, reason, message] = [field("code"), field("reason"), field("message")];
  return {
    code: typeof code === "number" ? code : 500,
    reason: typeof reason === "string" ? reason : "",
    message: typeof message === "string" ? message : "",
  };
}
