// The search runs in a worker, and browsers start none from a page that is a file. There, the worker's
// script runs in a hidden frame instead, and answers as a worker would. The theme looks for such a
// script by this file's name, and takes one from another host where there is none.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      const inside = frame.contentWindow
      const load = (address) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script")
          script.src = new URL(address, document.baseURI)
          script.onload = resolve
          script.onerror = () => reject(new Error(`${address} was not read`))
          inside.document.body.append(script)
        })
      const deliver = (target, data) => target.dispatchEvent(new MessageEvent("message", { data }))
      inside.postMessage = (data) => deliver(this, data)
      inside.importScripts = async (...addresses) => {
        for (const address of addresses) await load(address)
      }
      this.ready = load(url)
      this.send = (data) => deliver(inside, data)
    }

    postMessage(data) {
      this.ready.then(() => this.send(data))
    }
  }
  window.Worker = window.IFrameWorker
}
