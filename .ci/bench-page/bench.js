// Runs one network by one engine, as the query says, and reports to the server that it came from.

const asked = new URLSearchParams(location.search);
const [engine, runs] = [asked.get("engine"), Number(asked.get("runs"))];
const size = asked.get("size").split("x").map(Number);

const post = (path, body) => fetch(path, { method: "POST", body });
const bytes = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`cannot load ${path}: ${answer.status}`);
  return new Uint8Array(await answer.arrayBuffer());
};

// Numbers from 0 to 2^32 by xorshift (Marsaglia 2003), as intensities of mean 0 and deviation 1: the
// same for every engine.
function image(channels) {
  const values = new Float32Array(channels * size[0] * size[1] * size[2]);
  let state = 2463534242;
  for (let n = 0; n < values.length; n++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[n] = Math.sqrt(3) * (2 * ((state >>> 0) / 2 ** 32) - 1);
  }
  return values;
}

// The GPU, as far as the browser names it.
async function gpu() {
  const { vendor, architecture } = (await navigator.gpu.requestAdapter()).info;
  return `WebGPU, ${vendor} ${architecture}`;
}

// Each gives a function from an image to logits, and the number of threads where these are the CPU's.
const engines = {
  async rewind() {
    const { default: init, Network } = await import("./bench_page.js");
    await init();
    const fused = asked.get("fused");
    const bundle = await bytes("model/model.safetensors");
    const network = await Network.open(bundle, ...size, fused ? Number(fused) : undefined);
    return { run: (values) => network.run(values) };
  },
  async onnxruntime(channels) {
    const ort = await import(`./ort/${asked.get("build")}.bundle.min.mjs`);
    ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
    ort.env.wasm.numThreads = crossOriginIsolated ? navigator.hardwareConcurrency : 1;
    ort.env.logLevel = "error";
    const provider = asked.get("provider");
    const layout = asked.get("layout");
    const options = {
      executionProviders: [layout ? { name: provider, preferredLayout: layout } : provider],
    };
    const session = await ort.InferenceSession.create(await bytes(asked.get("model")), options);
    const shape = [1, channels, size[2], size[1], size[0]];
    const run = async (values) => {
      const { logits } = await session.run({ image: new ort.Tensor("float32", values, shape) });
      return logits.getData();
    };
    return { run, threads: provider === "wasm" && ort.env.wasm.numThreads };
  },
};

async function measure() {
  const channels = Number(asked.get("channels"));
  const values = image(channels);
  // What stood in memory before is the page's own.
  await post("/start", "");
  let start = performance.now();
  const { run, threads } = await engines[engine](channels);
  // A copy each time, since an engine may keep what it is given.
  const logits = await run(values.slice());
  const first_ms = performance.now() - start;
  const warm_ms = [];
  for (let n = 0; n < runs; n++) {
    start = performance.now();
    await run(values.slice());
    warm_ms.push(performance.now() - start);
  }
  await post("/logits", logits);
  const adapter = threads ? `the CPU, ${threads} threads` : await gpu();
  await post("/done", JSON.stringify({ first_ms, warm_ms, adapter }));
}

measure().catch((error) => post("/failed", String(error?.message ?? error)));
