/** The API server's refusal: an answer that is not 2xx, or an ERROR event of a watch. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  constructor(
    /** HTTP status. */
    readonly status: number,
    /** metav1.Status reason: "Expired", "Forbidden" …; "" when unknown. */
    readonly reason: string,
    message: string,
    /** Milliseconds the server asks to wait. */
    readonly retryAfter: number | undefined,
  ) {
    super(message);
  }

  /** The resource version, or the continue token, is too old: list again. */
  get isExpired(): boolean {
    return this.status === 410 || this.reason === "Expired" || this.reason === "Gone";
  }
}

/** Reads the refusal's reason, which is a metav1.Status unless a proxy on the way answered. */
export async function readError(response: Response): Promise<ApiError> {
  const text = await startOf(response);
  const seconds = Number(response.headers.get("retry-after") ?? NaN);
  const retryAfter = seconds >= 0 ? Math.min(seconds, longestRetryAfter) * 1000 : undefined;
  const status = parseStatus(text);
  const message = status?.message || text.replaceAll(/\s+/g, " ").trim().slice(0, 200) || response.statusText;
  return new ApiError(response.status, status?.reason ?? "", `${response.status}: ${message}`, retryAfter);
}

/** The refusal in an ERROR event. */
export function errorOfStatus(status: unknown): ApiError {
  const { code, reason, message } = statusFields(status);
  return new ApiError(code, reason, `${code}: ${message || reason || "an ERROR event"}`, undefined);
}

/** In seconds: a server that asks for more is asked again all the same. */
const longestRetryAfter = 300;
/** Of a refusal's body so much is read, in bytes. */
const longestBody = 64 * 1024;

async function startOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length >= longestBody) break;
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
