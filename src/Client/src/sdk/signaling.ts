import { HubConnectionBuilder, HubConnectionState, LogLevel, type HubConnection, type IRetryPolicy } from "@microsoft/signalr";
import {
  TranscribeError,
  type ActiveSpeakers,
  type HubReply,
  type JoinReply,
  type JoinRequest,
  type NegotiateReply,
  type PublishedMedia,
  type ResyncReply,
  type RoomEvent,
  type SessionEvent,
} from "./protocol";

export interface SignalingHandlers {
  roomEvent(event: RoomEvent): void;
  sessionEvent(event: SessionEvent): void;
  speakers(event: ActiveSpeakers): void;
  reconnecting(): void;
  /** The connection is back under a new id; the session must be resumed. */
  reconnected(): void;
  /** The connection is gone for good. */
  closed(error: Error | undefined): void;
}

/** Waits 0, 0.5, 1, 2, 4, 5, 5 … seconds with jitter, and gives up after `giveUpMs` without a connection. */
export class ReconnectPolicy implements IRetryPolicy {
  constructor(private readonly giveUpMs = 120_000) {}

  nextRetryDelayInMilliseconds(context: { previousRetryCount: number; elapsedMilliseconds: number }): number | null {
    if (context.elapsedMilliseconds > this.giveUpMs) return null;
    if (context.previousRetryCount === 0) return 0;
    const base = Math.min(5000, 250 * 2 ** context.previousRetryCount);
    return base * (0.75 + Math.random() / 2);
  }
}

/** The SignalR hub `/rtc`, typed. Every refusal becomes a {@link TranscribeError}. */
export class Signaling {
  readonly #connection: HubConnection;

  constructor(url: string, handlers: SignalingHandlers) {
    this.#connection = new HubConnectionBuilder()
      .withUrl(url)
      .withAutomaticReconnect(new ReconnectPolicy())
      .configureLogging(LogLevel.Error)
      .build();
    this.#connection.serverTimeoutInMilliseconds = 20_000;
    this.#connection.keepAliveIntervalInMilliseconds = 5_000;
    this.#connection.on("roomEvent", (event: RoomEvent) => handlers.roomEvent(event));
    this.#connection.on("sessionEvent", (event: SessionEvent) => handlers.sessionEvent(event));
    this.#connection.on("speakers", (event: ActiveSpeakers) => handlers.speakers(event));
    this.#connection.onreconnecting(() => handlers.reconnecting());
    this.#connection.onreconnected(() => handlers.reconnected());
    this.#connection.onclose((error) => handlers.closed(error));
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
    const reply = await this.#connection.invoke<HubReply<T>>(method, argument);
    if (reply.error) throw new TranscribeError(reply.error.code, reply.error.message);
    return reply.value as T;
  }
}
