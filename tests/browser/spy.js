// Stands before the page's own script, so that a test can hold back the server's model, see what the
// worker is sent, and end the worker.
if (typeof window !== "undefined") {
    const asked = new URLSearchParams(location.search);
    window.workers = [];
    // Numbers under which the worker keeps a model or a scan.
    window.held = new Set();
    window.Worker = class extends Worker {
        constructor(...options) {
            super(...options);
            window.workers.push(this);
            if (window.isDeadly) setTimeout(() => this.dispatchEvent(new ErrorEvent("error", { message: "again" })), 50);
        }
        postMessage(message, ...rest) {
            const [kind, fields] = Object.entries(JSON.parse(message[1]))[0];
            if (["OpenBundle", "ReadScan", "KeepScan"].includes(kind)) window.held.add(fields.number);
            if (kind === "Release") window.held.delete(fields.number);
            return super.postMessage(message, ...rest);
        }
    };

    const load = window.fetch;
    const released = new Promise(resolve => { window.release = resolve; });
    if (asked.has("slow")) window.fetch = async (...request) => {
        const answer = await load(...request);
        if (String(request[0].url ?? request[0]).endsWith(".safetensors")) await released;
        return answer;
    };

    // The page counts seconds; a test need not wait for them.
    const every = window.setInterval;
    window.setInterval = (call, interval, ...rest) => {
        if (interval === 1000) window.second = call;
        return every(call, interval, ...rest);
    };

    if (asked.has("nogpu")) GPU.prototype.requestAdapter = async () => null;

    // How often the page had time for something else while it read a link.
    window.moments = 0;
    every(() => {
        const said = document.querySelector("#status")?.textContent;
        if (said === "Reading the link") window.moments++;
    }, 10);
} else {
    const { instantiateStreaming } = WebAssembly;
    let memory;
    WebAssembly.instantiateStreaming = async (...options) => {
        const made = await instantiateStreaming(...options);
        memory = made.instance.exports.memory;
        return made;
    };
    const channel = new BroadcastChannel("tests");
    channel.onmessage = ({ data }) => {
        if (data === "die") setTimeout(() => { throw new Error("killed by the test"); });
        if (data === "hang") for (;;) {}
        if (data === "memory") channel.postMessage(memory.buffer.byteLength);
    };
}
