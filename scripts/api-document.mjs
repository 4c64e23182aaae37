// The API document: services, messages and enums of the contracts, with the comments written in them.
import prettier from "prettier";
import { fileDescriptors } from "./contracts.mjs";

// Numbers of google.protobuf.FileDescriptorProto's and DescriptorProto's fields, from which paths to comments are built.
const [MESSAGE_OF_FILE, ENUM_OF_FILE, SERVICE_OF_FILE] = [4, 5, 6];
const [FIELD, METHOD, VALUE] = [2, 2, 2];

/** FieldDescriptorProto.Type by number. */
const TYPES =
  " double float int64 uint64 int32 fixed64 fixed32 bool string group message bytes uint32 enum sfixed32 sfixed64 sint32 sint64".split(
    " ",
  );
const REPEATED = 3;
const FIRST = ["/coordinator.proto", "/recipe.proto"];

const INTRODUCTION = `<!-- Generated from proto/ by "npm run generate"; edit the comments there. -->

# API

What every RPC, message and field means, from the contracts in \`proto/gradpool/v1\`. [clients.md](clients.md) explains how to call them.
Fields that are not set have their type's zero value, as usual in proto3.
`;

/** Markdown, formatted like all documents. */
export async function apiDocument(protoDir) {
  const files = fileDescriptors(protoDir, { comments: true }).filter(({ name }) => !name.startsWith("google/"));
  files.sort((a, b) => rank(a) - rank(b));
  const services = files.flatMap(({ service }) => service.map(({ name }) => `- [${name}](#${name.toLowerCase()})\n`));
  const text = `${INTRODUCTION}\n${services.join("")}${files.map(fileText).join("")}`;
  return prettier.format(text, { parser: "markdown", printWidth: 120 });
}

/** What clients call comes first; the rest stays in order. */
function rank({ name }) {
  const at = FIRST.findIndex((first) => name.endsWith(first));
  return at < 0 ? FIRST.length : at;
}

function fileText(file) {
  const comments = new Map(
    file.sourceCodeInfo.location.map(({ path, leadingComments }) => [path.join("."), proseOf(leadingComments)]),
  );
  const comment = (...path) => comments.get(path.join(".")) ?? "";
  const services = file.service.map((service, i) =>
    serviceText(service, (...path) => comment(SERVICE_OF_FILE, i, ...path)),
  );
  const messages = file.messageType.map((message, i) =>
    messageText(message, (...path) => comment(MESSAGE_OF_FILE, i, ...path)),
  );
  const enums = file.enumType.map((values, i) => enumText(values, (...path) => comment(ENUM_OF_FILE, i, ...path)));
  return `\n## ${file.name}\n\n${[...services, ...messages, ...enums].join("\n")}`;
}

function serviceText({ name, method }, comment) {
  const rows = method.map(({ name: rpc, inputType, outputType, clientStreaming, serverStreaming }, i) => {
    const stream = (type, isStream) => `${isStream ? "stream of " : ""}${linkTo(type)}`;
    const types = `${stream(inputType, clientStreaming)} → ${stream(outputType, serverStreaming)}`;
    return `#### ${rpc}\n\n${types}\n\n${comment(METHOD, i)}\n`;
  });
  return `### ${name}\n\n${comment()}\n\n${rows.join("\n")}`;
}

function messageText(message, comment) {
  const rows = message.field.map(
    (field, i) => `| ${field.number} | \`${field.name}\` | ${typeOf(field, message)} | ${comment(FIELD, i)} |`,
  );
  const table = rows.length > 0 ? `\n| | field | type | means |\n| -: | - | - | - |\n${rows.join("\n")}\n` : "";
  return `### ${message.name}\n\n${comment()}\n${table}`;
}

function enumText({ name, value }, comment) {
  const rows = value.map(({ name: key, number }, i) => `| ${number} | \`${key}\` | ${comment(VALUE, i)} |`);
  return `### ${name}\n\n${comment()}\n\n| | value | means |\n| -: | - | - |\n${rows.join("\n")}\n`;
}

function typeOf(field, message) {
  const { label, type, typeName, oneofIndex, proto3Optional } = field;
  const entry = message.nestedType.find(
    ({ name, options }) => options?.mapEntry && typeName.endsWith(`.${message.name}.${name}`),
  );
  if (entry) return `map from ${typeOf(entry.field[0], entry)} to ${typeOf(entry.field[1], entry)}`;
  const one = typeName ? linkTo(typeName) : TYPES[type];
  // Descriptors are proto2, where a field that is not set reads as its default.
  const isOneOf = Object.hasOwn(field, "oneofIndex") && !proto3Optional;
  return `${label === REPEATED ? "repeated " : ""}${one}${isOneOf ? `, one of \`${message.oneofDecl[oneofIndex].name}\`` : ""}`;
}

function linkTo(typeName) {
  const name = typeName.split(".").at(-1);
  return typeName.startsWith(".google.") ? `\`${typeName.slice(1)}\`` : `[${name}](#${name.toLowerCase()})`;
}

/** A comment's lines as one paragraph, safe in a table's cell. */
const proseOf = (comment) =>
  comment
    .split("\n")
    .map((line) => line.trim())
    .join(" ")
    .trim()
    .replaceAll("|", "\\|")
    .replaceAll("<", "\\<")
    .replaceAll("*", "\\*");
