import { GradpoolError } from "@gradpool/errors";
import { errnoOf } from "./file-system.js";

/** What a failed file operation in `outputDir` means to the person who chose the folder. */
export function explain(error: unknown, outputDir: string): unknown {
  if (error instanceof GradpoolError) return error;
  const failure = (code: ConstructorParameters<typeof GradpoolError>[0], what: string) =>
    new GradpoolError(code, `output_dir ${outputDir} ${what}`, { cause: error });
  switch (errnoOf(error)) {
    case "EACCES":
    case "EPERM":
      return failure("permission_denied", "cannot be written; change its permissions or choose another --output_dir");
    case "EROFS":
      return failure("permission_denied", "is on a read-only file system; choose another --output_dir");
    case "ENOSPC":
    case "EDQUOT":
      return failure("resource_exhausted", "has no space left; free some space or choose another --output_dir");
    case "ENOTDIR":
    case "EEXIST":
      return failure("failed_precondition", "is not a folder; choose another --output_dir");
    case "EISDIR":
    case "ENOTEMPTY":
      return failure("failed_precondition", "has a folder where a result file belongs; choose another --output_dir");
    case "ENAMETOOLONG":
      return failure("invalid_argument", "is too long; choose a shorter --output_dir");
    case "EMFILE":
    case "ENFILE":
      return failure("unavailable", "cannot be opened: too many open files; raise the limit (ulimit -n)");
    default:
      return error;
  }
}
