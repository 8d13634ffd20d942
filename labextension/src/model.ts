// Keeps the lab's status fresh: asks, and is answered when something has changed.
import { ISignal, Signal } from '@lumino/signaling';

import { getStatus, ILabStatus } from './api';

const BETWEEN_MS = 300;
const UNHELD_MS = 5000;
const RETRY_MS = 3000;

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

  /** When the service last answered, by `performance.now()`; 0 before the first answer. */
  get answeredAt(): number {
    return this._at;
  }

  /** Whether the service did not answer the last time. */
  get stale(): boolean {
    return this._stale;
  }

  start(): void {
    void this._poll();
    setInterval(() => this._changed.emit(), 1000);
  }

  private async _poll(): Promise<void> {
    let wait = RETRY_MS;
    try {
      // After a failure at once: what is known may be long past.
      const status = await getStatus(this._stale ? '' : (this._status?.mark ?? ''));
      this._at = performance.now();
      this._status = status;
      this._stale = false;
      wait = status.mark ? BETWEEN_MS : UNHELD_MS;
    } catch (error) {
      if ((error as { response?: Response }).response?.status === 404) {
        return; // not a lab of the platform: nothing to show
      }
      this._stale = true;
    }
    this._changed.emit();
    setTimeout(() => void this._poll(), wait);
  }

  private _at = 0;
  private _changed = new Signal<this, void>(this);
  private _stale = false;
  private _status: ILabStatus | null = null;
}
