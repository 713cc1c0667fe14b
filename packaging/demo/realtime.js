/* A small client: Engine.IO 4 over a websocket, and in it the namespace "/" of Socket.IO 5. It comes back by itself
 * when the connection is lost. No attachments, no polling: npm's socket.io-client has all of that. */

const OPEN = '0';
const PING = '2';
const PONG = '3';
const CONNECT = '40';
const DISCONNECT = '41';
const EVENT = '42';
const ACK = '43';
const REFUSED = '44';

export class Refusal extends Error {}

export class Realtime {
  #handlers = new Map();
  #acks = new Map();
  #count = 0;
  #tries = 0;
  #wanted = false;
  #socket;
  #silence;
  #patience;

  /** handler(data) at each such event of the server; "connect", "lost" and "refused" are the client's own. */
  on(event, handler) {
    this.#handlers.set(event, handler);
  }

  connect() {
    this.#wanted = true;
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/socket.io/?EIO=4&transport=websocket`);
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#packet(data);
    socket.onclose = () => this.#lost(socket);
  }

  disconnect() {
    this.#wanted = false;
    this.#socket?.close();
  }

  /** Sends an event: the data of its ack, or a Refusal. */
  emit(event, data) {
    return new Promise((resolve, reject) => {
      if (this.#socket?.readyState !== WebSocket.OPEN) {
        reject(new Refusal('not connected'));
        return;
      }
      this.#count += 1;
      this.#acks.set(this.#count, { resolve, reject });
      this.#socket.send(`${EVENT}${this.#count}${JSON.stringify([event, data])}`);
    });
  }

  #tell(event, data) {
    this.#handlers.get(event)?.(data);
  }

  #packet(text) {
    const [, type, id, json] = /^(4\d|\d)(\d*)(.*)$/s.exec(text);
    const data = json ? JSON.parse(json) : undefined;
    if (type === OPEN) {
      this.#patience = data.pingInterval + data.pingTimeout;
      this.#socket.send(CONNECT);
    } else if (type === PING) {
      this.#socket.send(PONG);
    } else if (type === CONNECT) {
      this.#tries = 0;
      this.#tell('connect', data);
    } else if (type === REFUSED) {
      this.#wanted = false;
      this.#tell('refused', data);
      this.#socket.close();
    } else if (type === DISCONNECT) {
      this.#socket.close();
    } else if (type === EVENT) {
      this.#tell(data[0], data[1]);
    } else if (type === ACK) {
      this.#answer(Number(id), data[0]);
    }
    this.#listen();
  }

  #answer(id, { success, data, error }) {
    const ack = this.#acks.get(id);
    this.#acks.delete(id);
    if (success) ack?.resolve(data);
    else ack?.reject(new Refusal(error.message));
  }

  /* The server says something now and then, or is gone. */
  #listen() {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#silence = setTimeout(() => {
      socket.close();
      this.#lost(socket); /* its own word for it may take a minute */
    }, this.#patience);
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    this.#socket = undefined;
    clearTimeout(this.#silence);
    for (const { reject } of this.#acks.values()) reject(new Refusal('the connection was lost'));
    this.#acks.clear();
    this.#tell('lost');
    if (!this.#wanted) return;
    const wait = Math.min(10000, 250 * 2 ** this.#tries) * (0.5 + Math.random());
    this.#tries += 1;
    setTimeout(() => this.#wanted && !this.#socket && this.connect(), wait);
  }
}
