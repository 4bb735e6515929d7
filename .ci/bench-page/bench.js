// Runs a network by an engine, both given in the query, and reports to the server.

const query = new URLSearchParams(location.search);
const [engine, runs] = [query.get("engine"), Number(query.get("runs"))];
const size = query.get("size").split("x").map(Number);

const post = (path, body) => fetch(path, { method: "POST", body });
const bytes = async (path) => {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`cannot load ${path}: ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
};

// Makes the same image for every engine: random numbers by xorshift (Marsaglia 2003) with mean 0 and
// deviation 1.
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

// Returns the name of the GPU, as far as the browser states it.
async function gpuName() {
  const { vendor, architecture } = (await navigator.gpu.requestAdapter()).info;
  return `WebGPU, ${vendor} ${architecture}`;
}

// Each engine returns a function from an image to logits, and the number of threads if it runs on the
// CPU.
const engines = {
  async rewind() {
    const { default: init, Network } = await import("./bench_page.js");
    await init();
    const fused = query.get("fused");
    const bundle = await bytes("model/model.safetensors");
    const network = await Network.open(bundle, ...size, fused ? Number(fused) : undefined);
    return { run: (values) => network.run(values) };
  },
  async processor() {
    const { default: init, ProcessorNetwork } = await import("./bench_page.js");
    await init();
    const network = new ProcessorNetwork(await bytes("model/model.safetensors"), ...size);
    return { run: async (values) => network.run(values), threads: 1 };
  },
  async onnxruntime(channels) {
    const ort = await import(`./ort/${query.get("build")}.bundle.min.mjs`);
    ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
    const threads = Number(query.get("threads") ?? navigator.hardwareConcurrency);
    ort.env.wasm.numThreads = crossOriginIsolated ? threads : 1;
    ort.env.logLevel = "error";
    const provider = query.get("provider");
    const layout = query.get("layout");
    const options = {
      executionProviders: [layout ? { name: provider, preferredLayout: layout } : provider],
    };
    const session = await ort.InferenceSession.create(await bytes(query.get("model")), options);
    const shape = [1, channels, size[2], size[1], size[0]];
    const run = async (values) => {
      const { logits } = await session.run({ image: new ort.Tensor("float32", values, shape) });
      return logits.getData();
    };
    return { run, threads: provider === "wasm" && ort.env.wasm.numThreads };
  },
};

async function measure() {
  const channels = Number(query.get("channels"));
  const values = image(channels);
  // The memory before this point is that of the page.
  await post("/start", "");
  let start = performance.now();
  const { run, threads } = await engines[engine](channels);
  // Each run gets a copy, because an engine may keep its input.
  const logits = await run(values.slice());
  const first_ms = performance.now() - start;
  const warm_ms = [];
  for (let n = 0; n < runs; n++) {
    start = performance.now();
    await run(values.slice());
    warm_ms.push(performance.now() - start);
  }
  await post("/logits", logits);
  const adapter = threads ? `the CPU, ${threads} thread${threads > 1 ? "s" : ""}` : await gpuName();
  await post("/done", JSON.stringify({ first_ms, warm_ms, adapter }));
}

measure().catch((error) => post("/failed", String(error?.message ?? error)));
