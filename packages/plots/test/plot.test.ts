import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  loadDrawing,
  MAX_PLOTTED_RUNS,
  PLOT_HEIGHT,
  PLOT_WIDTH,
  PLOTS,
  type PlottedRun,
  type PlottedStep,
} from "@gradpool/plots";

const { plotSvg, rasterize } = await loadDrawing();

/** A run whose loss falls noisily from 4.1 to about 2.5. */
function steps(count: number): PlottedStep[] {
  return Array.from({ length: count }, (_, i) => ({
    step: i + 1,
    loss: 2.5 + 1.6 * Math.exp((-4 * i) / count) + 0.12 * Math.sin(i * 12.9898) * Math.cos(i * 78.233),
    learningRate: 5e-3 * (1 - i / count),
    tokens: 1000,
    seconds: 0.5 + 0.1 * Math.sin(i),
  }));
}

const run = (count: number, given: Partial<PlottedRun> = {}): PlottedRun => {
  return { name: "run", steps: steps(count), evaluations: [], ...given };
};

function assertPicture(png: Uint8Array, height = PLOT_HEIGHT): void {
  assert.deepEqual([...png.subarray(0, 8)], [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const header = new DataView(png.buffer, png.byteOffset);
  assert.deepEqual([header.getUint32(16), header.getUint32(20)], [PLOT_WIDTH, height]);
}

const shows = (svg: string, text: string) => svg.includes(`>${text}</text>`);

/** The words that each picture must show. */
const TEXTS = {
  loss: ["loss (nats per token)", "learning rate", "step"],
  "learning-rate": ["learning rate", "step"],
  throughput: ["target tokens per second", "step"],
};

describe("plotSvg", () => {
  for (const name of PLOTS) {
    for (const count of [0, 1, 2, 60, 2000]) {
      test(`draws the ${name} of ${count} steps, the same bytes each time`, () => {
        const svg = plotSvg(name, "tiny-coder on 40 files", [run(count)]);
        assert.equal(svg, plotSvg(name, "tiny-coder on 40 files", [run(count)]));
        assertPicture(rasterize(svg));
        assert.deepEqual(rasterize(svg), rasterize(svg));
        for (const text of ["tiny-coder on 40 files", ...TEXTS[name]]) assert.ok(shows(svg, text), `no text ${text}`);
      });
    }
  }

  test("sums each quantity up in a line", () => {
    const [two] = [[run(2)]];
    assert.match(plotSvg("loss", "t", two), />2 steps, loss [\d.]+ at the first step, [\d.]+ at the last</);
    assert.match(plotSvg("learning-rate", "t", two), />2 steps, learning rate 5e-3 at its highest, 2\.5e-3 at the/);
    const even = steps(4).map((step) => ({ ...step, seconds: 0.5 }));
    assert.match(plotSvg("throughput", "t", [run(4, { steps: even })]), />4 steps, 4,000 target tokens, 2,000 per sec/);
  });

  test("draws its text with the font that comes along", () => {
    const svg = plotSvg("loss", "title", [run(20)]);
    const png = rasterize(svg);
    const withoutFont = rasterize(svg, "");
    assertPicture(withoutFont);
    assert.ok(
      png.byteLength > withoutFont.byteLength * 1.2,
      `${png.byteLength} against ${withoutFont.byteLength} bytes`,
    );
    const bare = svg.replaceAll(/<text.*?<\/text>/gs, "");
    assert.deepEqual(rasterize(bare), withoutFont);
  });

  test("leaves a gap for what is not a number, and for a step that took no time", () => {
    const broken = steps(20);
    Object.assign(broken[7]!, { loss: NaN, seconds: 0 });
    for (const name of PLOTS) {
      const svg = plotSvg(name, "title", [run(20, { steps: broken })]);
      assertPicture(rasterize(svg));
      assert.ok(!/NaN|Infinity/.test(svg));
    }
  });

  test("draws evaluations where there are some, on the axis of the loss", () => {
    const without = plotSvg("loss", "title", [run(20)]);
    assert.ok(!shows(without, "evaluation"));
    const evaluations = [10, 20].map((step) => ({ step, loss: 3.5 - step / 20 }));
    const svg = plotSvg("loss", "title", [run(20, { evaluations })]);
    assert.ok(shows(svg, "evaluation"));
    assert.notDeepEqual(rasterize(svg), rasterize(without));
    // A loss far above makes the axis reach there.
    const far = plotSvg("loss", "title", [run(20, { evaluations: [{ step: 10, loss: 70 }] })]);
    assert.ok(shows(far, "70") && !shows(svg, "70"));
  });

  test("draws several runs under one legend, and makes room for it", () => {
    const two = [run(20, { name: "base" }), run(60, { name: "rank 16", evaluations: [{ step: 20, loss: 3 }] })];
    for (const name of PLOTS) {
      const svg = plotSvg(name, "2 runs", two);
      assertPicture(rasterize(svg));
      for (const text of ["2 runs", "base", "rank 16", ...TEXTS[name]]) assert.ok(shows(svg, text), `no text ${text}`);
      assert.ok(!shows(svg, "smoothed") && !shows(svg, "evaluation"));
    }
    const many = Array.from({ length: MAX_PLOTTED_RUNS }, (_, i) => run(12, { name: `run-${i}` }));
    const svg = plotSvg("loss", "many", many);
    for (const { name } of many) assert.ok(shows(svg, name), `no text ${name}`);
    assertPicture(rasterize(svg), PLOT_HEIGHT + 4 * 22);
  });

  test("shortens long names in the legend so that both ends are told apart", () => {
    const names = ["rank 8 (run-mx38ovdp-8f3a4e)", "rank 8 (run-mx38oqtw-591e12)", "twenty-four characters.."];
    const svg = plotSvg(
      "loss",
      "t",
      names.map((name) => run(3, { name })),
    );
    for (const text of ["rank 8 (run…ovdp-8f3a4e)", "rank 8 (run…oqtw-591e12)", names[2]!])
      assert.ok(shows(svg, text), text);
  });

  test("escapes title and names", () => {
    assert.ok(plotSvg("loss", "a <b> & c", [run(3)]).includes("a &lt;b&gt; &amp; c"));
    assert.ok(plotSvg("loss", "t", [run(3, { name: "<i>" }), run(3)]).includes("&lt;i&gt;"));
  });
});
