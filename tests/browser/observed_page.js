// Runs before the page's own script, so that a test can delay the server's model, observe the requests
// to the worker, and end the worker.
if (typeof window !== "undefined") {
    const options = new URLSearchParams(location.search);
    // Its runs are long enough to observe them.
    localStorage.setItem("rewind.engine", "gpu");
    window.workers = [];
    // The ids of the models, studies and scans that the worker stores.
    window.resources = new Set();
    window.Worker = class extends Worker {
        constructor(...args) {
            super(...args);
            window.workers.push(this);
            if (window.endsWorkers) setTimeout(() => this.dispatchEvent(new ErrorEvent("error", { message: "again" })), 50);
        }
        postMessage(message, ...rest) {
            const [kind, fields] = Object.entries(JSON.parse(message[1]))[0];
            if (["OpenBundle", "OpenStudy", "ReadSeries", "RestoreChannel", "Place", "ApplyBrain"].includes(kind)) window.resources.add(fields.resource);
            if (kind === "Release") window.resources.delete(fields.resource);
            return super.postMessage(message, ...rest);
        }
    };

    const load = window.fetch;
    const released = new Promise(resolve => { window.release = resolve; });
    if (options.has("slow")) window.fetch = async (...request) => {
        const response = await load(...request);
        if (String(request[0].url ?? request[0]).endsWith(".safetensors")) await released;
        return response;
    };

    // The page's timer of one second, which a test can call without waiting.
    const setInterval = window.setInterval;
    window.setInterval = (call, interval, ...rest) => {
        if (interval === 1000) window.tick = call;
        return setInterval(call, interval, ...rest);
    };

    if (options.has("nogpu")) GPU.prototype.requestAdapter = async () => null;

    // Counts the timer's calls while the page reads a link, during which its thread must stay free.
    window.idleTicks = 0;
    setInterval(() => {
        const status = document.querySelector("#status")?.textContent;
        if (status === "Reading the link") window.idleTicks++;
    }, 10);
} else {
    const { instantiateStreaming } = WebAssembly;
    let memory;
    WebAssembly.instantiateStreaming = async (...args) => {
        const module = await instantiateStreaming(...args);
        memory = module.instance.exports.memory;
        return module;
    };
    const channel = new BroadcastChannel("tests");
    channel.onmessage = ({ data }) => {
        if (data === "die") setTimeout(() => { throw new Error("killed by the test"); });
        if (data === "hang") for (;;) {}
        if (data === "memory") channel.postMessage(memory.buffer.byteLength);
    };
}
