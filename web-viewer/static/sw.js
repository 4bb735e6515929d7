// Keeps the page in the browser, so that it opens without a network. A file comes from the server if it
// responds, otherwise from the copy that belongs to this version. `cargo xtask page` fills in both values.
const VERSION = "VERSION";
const FILES = [];

const PAGE = `rewind-page-${VERSION}`;
// What the server offers: its list of models. The models themselves are kept by the page, with checksums.
const OFFERS = "rewind-offers-1";
const LIST = "demo/manifest.json";

const path = (url) => url.pathname.slice(new URL(self.registration.scope).pathname.length);

self.addEventListener("install", (event) => {
  const requests = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(PAGE).then((cache) => cache.addAll(requests)));
  self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  const isOld = (name) => name.startsWith("rewind-page-") && name !== PAGE;
  const clear = async () => {
    const names = await caches.keys();
    await Promise.all(names.filter(isOld).map((name) => caches.delete(name)));
    await self.clients.claim();
  };
  event.waitUntil(clear());
});

async function offered(request) {
  const cache = await caches.open(OFFERS);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(LIST, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(LIST);
    if (kept) return kept;
    throw error;
  }
}

async function page(request, file) {
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await (await caches.open(PAGE)).match(file);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  const file = path(url) || "index.html";
  if (file === LIST) event.respondWith(offered(event.request));
  else if (FILES.includes(file)) event.respondWith(page(event.request, file));
});
