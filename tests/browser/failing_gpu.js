// Runs before the page's own script and makes the worker's GPU fail: the first allocation is refused,
// and the first device is lost during a run.
if (typeof WorkerGlobalScope !== "undefined") {
    const { pushErrorScope, popErrorScope } = GPUDevice.prototype;
    const scopes = [];
    let refusals = 1;
    GPUDevice.prototype.pushErrorScope = function (filter) {
        scopes.push(filter);
        return pushErrorScope.call(this, filter);
    };
    GPUDevice.prototype.popErrorScope = function () {
        const filter = scopes.pop();
        const popped = popErrorScope.call(this);
        if (filter !== "out-of-memory" || refusals-- <= 0) return popped;
        return popped.then(() => new GPUOutOfMemoryError("refused by the test"));
    };

    // With `?hardware` the GPU passes for a graphics card, and every device is lost.
    // The page's address is set after this script has run.
    const isHardware = () => self.rewindPage?.includes("hardware") ?? false;
    Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => !isHardware() });

    const { requestDevice } = GPUAdapter.prototype;
    const { submit } = GPUQueue.prototype;
    let numDevices = 0;
    GPUAdapter.prototype.requestDevice = async function (...options) {
        const device = await requestDevice.apply(this, options);
        if (++numDevices === 1 || isHardware()) {
            let numSubmitted = 0;
            device.queue.submit = function (commands) {
                submit.call(this, commands);
                if (commands.length && ++numSubmitted === 2) device.destroy();
            };
        }
        return device;
    };
}
