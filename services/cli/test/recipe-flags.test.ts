import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Command } from "commander";
import {
  defaultRecipe,
  RECIPE_FIELDS,
  recipeFrom,
  recipeValues,
  type FieldKind,
  type FieldValue,
} from "@gradpool/recipe";
import { addRecipeFlags, valueText } from "../src/flags.js";
import { oneSpelling } from "../src/spelling.js";

const BOOLEANS = RECIPE_FIELDS.filter(({ kind }) => kind === "boolean").map(({ name }) => name);
const KNOWN = { names: new Set(RECIPE_FIELDS.map(({ name }) => name)), booleans: new Set(BOOLEANS) };

function recipeOf(...argv: string[]) {
  const command = addRecipeFlags(new Command())
    .exitOverride()
    .configureOutput({ outputError: () => {} });
  command.parse(oneSpelling(argv, KNOWN), { from: "user" });
  return recipeFrom(command.opts());
}

/** A value other than the flag's default, as text and as it should arrive. */
const OTHER: Record<FieldKind, [string, FieldValue]> = {
  integer: ["17", 17],
  number: ["2.5e-3", 0.0025],
  boolean: ["", false],
  text: ["other", "other"],
  list: ["c_fc,mlp.c_proj", ["c_fc", "mlp.c_proj"]],
  numbers: ["0.7,3e-1", [0.7, 0.3]],
  patterns: ["c_fc=3,h.{1,2}.c_proj=4", { c_fc: 3, "h.{1,2}.c_proj": 4 }],
};

describe("the table of recipe flags", () => {
  test("values are shown as they are written", () => {
    assert.deepEqual(
      Object.values(OTHER).map(([, value]) => valueText(value)),
      ["17", "0.0025", "false", "other", "c_fc,mlp.c_proj", "0.7,0.3", "c_fc=3,h.{1,2}.c_proj=4"],
    );
  });

  test("without flags gives the default recipe", () => {
    assert.deepEqual(recipeOf(), defaultRecipe());
  });

  test("has one flag for each field of the recipe", () => {
    const { lora, ...rest } = defaultRecipe();
    const fields = [...Object.keys(rest), ...Object.keys(lora ?? {}).map((key) => `lora.${key}`)].sort();
    const flags = RECIPE_FIELDS.map(({ key, ofLora }) => (ofLora ? `lora.${key}` : key)).sort();
    assert.deepEqual(flags, fields);
  });

  for (const flag of RECIPE_FIELDS) {
    const kebab = flag.name.replaceAll("_", "-");
    const wanted = flag.kind === "boolean" ? flag.default !== true : OTHER[flag.kind][1];
    const text = flag.kind === "boolean" ? String(wanted) : OTHER[flag.kind][0];
    test(`--${flag.name} and --${kebab} set it, and nothing else`, () => {
      const expected = { ...recipeValues(defaultRecipe()), [flag.name]: wanted };
      for (const argv of [
        [`--${flag.name}`, text],
        [`--${kebab}`, text],
        [`--${flag.name}=${text}`],
        [`--${kebab}=${text}`],
      ]) {
        assert.deepEqual(recipeValues(recipeOf(...argv)), expected, argv.join(" "));
      }
    });
  }

  for (const name of BOOLEANS) {
    test(`--${name} alone is true, --no_${name} is false`, () => {
      assert.equal(recipeValues(recipeOf(`--${name}`))[name], true);
      assert.equal(recipeValues(recipeOf(`--${name}`, "--epochs", "2"))[name], true);
      assert.equal(recipeValues(recipeOf(`--no_${name}`))[name], false);
      assert.equal(recipeValues(recipeOf(`--no-${name.replaceAll("_", "-")}`))[name], false);
    });
  }

  test("module names may be separated by commas or spaces, and the flag repeated", () => {
    for (const argv of [
      ["c_fc,c_proj"],
      ["c_fc", "c_proj"],
      ["c_fc", "--target-modules", "c_proj"],
      ["c_fc, c_proj"],
    ]) {
      assert.deepEqual(recipeOf("--target_modules", ...argv).lora?.targetModules, ["c_fc", "c_proj"]);
    }
  });

  test("a regular expression of modules is one value, commas and all", () => {
    const pattern = String.raw`.*\.c_(fc|proj){1,2}`;
    assert.deepEqual(recipeOf("--target_modules", pattern).lora?.targetModules, [pattern]);
  });

  test("patterns may be repeated, and what is none is refused", () => {
    const { lora } = recipeOf("--rank_pattern", "c_fc=3", "--rank-pattern", "c_proj=4", "h.0=5");
    assert.deepEqual(lora?.rankPattern, { c_fc: 3, c_proj: 4, "h.0": 5 });
    for (const text of ["c_fc", "=3", "c_fc=", "c_fc=x"]) {
      assert.throws(() => recipeOf("--rank_pattern", text), /--rank_pattern.*must be/);
    }
  });

  test("negative numbers are values", () => {
    assert.equal(recipeOf("--keep_last_n_checkpoints", "-1").keepLastNCheckpoints, -1);
  });

  test("refuses what is not a number, naming flag and value", () => {
    for (const text of ["3.5", "ten", "", "1e400", "0x10", " "]) {
      assert.throws(() => recipeOf("--epochs", text), /--epochs.*must be a whole number/);
    }
    for (const text of ["fast", "", "Infinity", "nan"]) {
      assert.throws(() => recipeOf("--learning_rate", text), /--learning_rate.*must be a number/);
    }
    assert.throws(() => recipeOf("--packing=perhaps"), /--packing.*must be true or false/);
  });

  test("--packing takes a strategy, and is wrapped without one", () => {
    const of = (...argv: string[]) => {
      const { packing, packingStrategy } = recipeOf(...argv);
      return [packing, packingStrategy];
    };
    for (const argv of [["--packing"], ["--packing", "true"], ["--packing=wrapped"], ["--packing", "wrapped"]]) {
      assert.deepEqual(of(...argv), [true, "wrapped"]);
    }
    for (const argv of [["--packing", "bfd"], ["--packing=bfd"], ["--packing", "--packing-strategy", "bfd"]]) {
      assert.deepEqual(of(...argv), [true, "bfd"]);
    }
    assert.deepEqual(of("--no-packing"), [false, "wrapped"]);
    assert.throws(() => of("--packing", "ffd"), /must be true or false, or one of wrapped, bfd, not "ffd"/);
  });
});

describe("oneSpelling", () => {
  test("leaves other words, and what follows --, as they are", () => {
    const argv = ["--prompt", "--no-such", "a-b", "--", "--batch-size"];
    assert.deepEqual(oneSpelling(argv, KNOWN), argv);
  });

  test("keeps values with equal signs and line breaks", () => {
    assert.deepEqual(oneSpelling(["--pad-token=a=b\n-c"], KNOWN), ["--pad_token=a=b\n-c"]);
  });
});
