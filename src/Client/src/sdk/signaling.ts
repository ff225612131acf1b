import { HttpTransportType, HubConnectionBuilder, HubConnectionState, LogLevel, type HubConnection } from "@microsoft/signalr";
import {
  TranscribeError,
  type ActiveSpeakers,
  type GoAway,
  type HubReply,
  type JoinReply,
  type JoinRequest,
  type NegotiateReply,
  type PublishedMedia,
  type ResyncReply,
  type RoomEvent,
  type RoomSnapshot,
  type SessionEvent,
} from "./protocol";

export interface SignalingHandlers {
  roomEvent(event: RoomEvent): void;
  /** The room began again with this state. */
  roomReset(room: RoomSnapshot): void;
  sessionEvent(event: SessionEvent): void;
  speakers(event: ActiveSpeakers): void;
  /** The node asks to go on at another one. */
  goAway(event: GoAway): void;
  /** The connection is gone for good. */
  closed(): void;
}

/**
 * One connection to the SignalR hub `/rtc` of one signalling node, typed. Every refusal becomes a
 * {@link TranscribeError}. It does not reconnect: its owner makes another, there or elsewhere.
 */
export class Signaling {
  readonly #connection: HubConnection;

  /** @param webSocketOnly No negotiation over HTTP first: one round trip less, and no CORS, to another origin. */
  constructor(url: string, handlers: SignalingHandlers, webSocketOnly = false) {
    this.#connection = new HubConnectionBuilder()
      .withUrl(url, { withCredentials: false, ...(webSocketOnly ? { transport: HttpTransportType.WebSockets, skipNegotiation: true } : {}) })
      .configureLogging(LogLevel.None)
      .build();
    this.#connection.serverTimeoutInMilliseconds = 20_000;
    this.#connection.keepAliveIntervalInMilliseconds = 5_000;
    this.#connection.on("roomEvent", (event: RoomEvent) => handlers.roomEvent(event));
    this.#connection.on("roomReset", (room: RoomSnapshot) => handlers.roomReset(room));
    this.#connection.on("sessionEvent", (event: SessionEvent) => handlers.sessionEvent(event));
    this.#connection.on("speakers", (event: ActiveSpeakers) => handlers.speakers(event));
    this.#connection.on("goAway", (event: GoAway) => handlers.goAway(event));
    this.#connection.onclose(() => handlers.closed());
  }

  get connected(): boolean {
    return this.#connection.state === HubConnectionState.Connected;
  }

  start(): Promise<void> {
    return this.#connection.start();
  }

  stop(): Promise<void> {
    return this.#connection.stop();
  }

  join(request: JoinRequest): Promise<JoinReply> {
    return this.#call("join", request);
  }

  negotiate(sdp: string, tracks: PublishedMedia[]): Promise<NegotiateReply> {
    return this.#call("negotiate", { sdp, tracks });
  }

  /** @param candidate "candidate:…", or null at the end of candidates. */
  async trickle(candidate: string | null): Promise<void> {
    await this.#call("trickle", { candidate });
  }

  async subscribe(trackId: string, enabled: boolean): Promise<void> {
    await this.#call("subscribe", { trackId, enabled });
  }

  async setMuted(trackId: string, muted: boolean): Promise<void> {
    await this.#call("setMuted", { trackId, muted });
  }

  resync(afterSequence: number): Promise<ResyncReply> {
    return this.#call("resync", { afterSequence });
  }

  async leave(): Promise<void> {
    await this.#connection.invoke("leave");
  }

  async #call<T>(method: string, argument: object): Promise<T> {
    let reply: HubReply<T>;
    try {
      reply = await this.#connection.invoke<HubReply<T>>(method, argument);
    } catch (error) {
      throw new TranscribeError("unreachable", `The signalling server did not answer "${method}": ${error instanceof Error ? error.message : String(error)}`);
    }
    if (reply.error) throw new TranscribeError(reply.error.code, reply.error.message);
    return reply.value as T;
  }
}
