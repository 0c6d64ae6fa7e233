/**
 * Something the operator can set right: a flag, a file, a missing privilege. The message is all they are
 * shown, so it names the thing and the remedy; every other error is a defect of ours and is shown with its
 * stack.
 */
export class UserError extends Error {
  override readonly name: string = "UserError";
}
