// The page's end of the worker.

/** Reads texts with all models that are loaded; what it finds comes as messages of the worker. */
export class Client {
  /** @param told is called with every message. */
  constructor(told) {
    this.reads = 0;
    this.waiting = new Map();
    // A worker of a blob is held to the page's own policy, so that it cannot call other hosts either.
    const source = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    this.worker = new Worker(url, { type: "module" });
    this.worker.onmessage = ({ data }) => {
      told(data);
      if (data.kind === "finished") {
        this.waiting.get(data.read)?.(data.whole);
        this.waiting.delete(data.read);
      }
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      told({ kind: "broken", reason: event.message || "its program could not be loaded" });
    };
  }

  /** Read a text, instead of the one before; resolves to whether it was read to its end. */
  read(text, words = true) {
    const read = ++this.reads;
    this.worker.postMessage({ read, text, words });
    return new Promise((resolve) => this.waiting.set(read, resolve));
  }

  /** Stop reading. */
  stop() {
    this.worker.postMessage({ read: ++this.reads });
  }
}
