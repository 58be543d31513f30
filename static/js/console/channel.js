// A websocket as noVNC wants it, with our text frames taken out: it is told of binary frames alone.
export class Channel {
  constructor(socket) {
    this.socket = socket;
    this.binaryType = "arraybuffer";
    this.protocol = "";
    this.onopen = null;
    this.onmessage = null;
    this.onerror = null;
    this.onclose = null;
  }

  get readyState() { return this.socket.readyState; }

  send(data) { if (this.socket.readyState === WebSocket.OPEN) this.socket.send(data); }

  close() { this.socket.close(); }
}
