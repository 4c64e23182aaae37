/** What a run may be called. */
import { GradpoolError } from "@gradpool/errors";
import { count, visible } from "@gradpool/format";
import { MAX_RUN_NAME_CHARACTERS, MAX_TAG_CHARACTERS, MAX_TAGS, type RunSpec } from "@gradpool/rpc";

/** Name and tags as the contract bounds them: what lists, charts, logs and traces show. Errors: `invalid_argument`. */
export function checkRunNames({ runName, tags }: Pick<RunSpec, "runName" | "tags">): void {
  if (runName !== "") checkName("run_name", runName, MAX_RUN_NAME_CHARACTERS);
  if (tags.length > MAX_TAGS) throw refusal("tags", `has ${count(tags.length)} tags, where ${MAX_TAGS} are allowed`);
  for (const [i, tag] of tags.entries()) {
    checkName("tags", tag, MAX_TAG_CHARACTERS);
    if (tag.includes(",")) throw refusal("tags", `has ${quoted(tag)}, but a tag cannot have a comma`);
    if (tags.indexOf(tag) !== i) throw refusal("tags", `has ${quoted(tag)} twice; name it once`);
  }
}

function checkName(field: string, name: string, maxCharacters: number): void {
  const length = [...name].length;
  if (length > maxCharacters)
    throw refusal(field, `has ${count(length)} characters, where ${maxCharacters} are allowed`);
  if (name === "") throw refusal(field, "has an empty name; leave it out");
  if (visible(name) !== name) throw refusal(field, `has a control character: ${quoted(visible(name))}; remove it`);
  if (name.trim() !== name) throw refusal(field, `is ${quoted(name)}; remove the space at its ends`);
}

const quoted = (text: string): string => `"${text}"`;

const refusal = (field: string, problem: string) => new GradpoolError("invalid_argument", `${field} ${problem}`);
