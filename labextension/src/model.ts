// Keeps the lab's status fresh: asks, and is answered when something has changed.
import { ISignal, Signal } from '@lumino/signaling';

import { getStatus, ILabStatus, signInAgain } from './api';

const BETWEEN_MS = 300;
const UNHELD_MS = 5000;
const RETRY_MS = 3000;
/** A page that is left open after its lab has ended asks more and more seldom. */
const MOST_RETRY_MS = 30_000;

export class StatusModel {
  /** Emitted at each answer, and each second for the countdown. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /** The last answer; null before the first and where this is not a lab of the platform. */
  get status(): ILabStatus | null {
    return this._status;
  }

  /** Seconds until this lab stops, by the browser's steady clock since the last answer. */
  get secondsLeft(): number | null {
    const left = this._status?.seconds_left ?? null;
    return left === null ? null : Math.max(0, left - (performance.now() - this._at) / 1000);
  }

  /** Emitted when the service answers after it did not. */
  get found(): ISignal<this, void> {
    return this._found;
  }

  /** Whether the service did not answer the last time. */
  get stale(): boolean {
    return this._stale;
  }

  start(): void {
    void this._poll();
    document.addEventListener('visibilitychange', () => {
      if (this._stale && document.visibilityState === 'visible') {
        clearTimeout(this._next);
        this._retry = RETRY_MS;
        this._signedIn = false;
        void this._poll();
      }
    });
    setInterval(() => this._changed.emit(), 1000);
  }

  private async _poll(): Promise<void> {
    if (this._asking) {
      return;
    }
    this._asking = true;
    const wait = await this._ask();
    this._asking = false;
    if (wait !== null) {
      this._changed.emit();
      this._next = window.setTimeout(() => void this._poll(), wait);
    }
  }

  /** One question; milliseconds until the next, null when there is none to ask. */
  private async _ask(): Promise<number | null> {
    const wasStale = this._stale;
    try {
      // After a failure at once: what is known may be long past.
      const status = await getStatus(wasStale ? '' : (this._status?.mark ?? ''));
      this._at = performance.now();
      this._status = status;
      this._stale = false;
      this._retry = RETRY_MS;
      this._signedIn = false;
      if (wasStale) {
        this._found.emit();
      }
      return status.mark ? BETWEEN_MS : UNHELD_MS;
    } catch (error) {
      const code = (error as { response?: Response }).response?.status;
      if (code === 404) {
        return null; // not a lab of the platform: nothing to show
      }
      this._stale = true;
      if (code === 403 && !this._signedIn) {
        this._signedIn = true; // once: who has signed out is not asked for again and again
        await signInAgain();
        return BETWEEN_MS;
      }
      const wait = this._retry;
      this._retry = Math.min(MOST_RETRY_MS, wait * 1.5);
      return wait;
    }
  }

  private _asking = false;
  private _at = 0;
  private _changed = new Signal<this, void>(this);
  private _found = new Signal<this, void>(this);
  private _next = 0;
  private _retry = RETRY_MS;
  private _signedIn = false;
  private _stale = false;
  private _status: ILabStatus | null = null;
}
