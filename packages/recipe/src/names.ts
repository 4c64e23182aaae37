/** Names of fields: as messages have them in TypeScript, and as flags, files and protobuf have them. */

/** max_length becomes maxLength. */
export function camelCase(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** maxLength becomes max_length. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
