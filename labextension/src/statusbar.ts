// The status bar item: GPU time left, or that this is a CPU lab.
import { Widget } from '@lumino/widgets';

import { StatusModel } from './model';
import { say } from './text';
import { duration, level } from './time';

export class StatusItem extends Widget {
  constructor(private model: StatusModel) {
    super();
    this.addClass('dli-StatusItem');
    this.node.setAttribute('role', 'status');
    this._text = document.createElement('span');
    this._simulated = document.createElement('span');
    this._simulated.className = 'dli-Simulated';
    this.node.append(this._text, this._simulated);
    model.changed.connect(this._show, this);
    this._show();
  }

  private _show(): void {
    const status = this.model.status;
    this.setHidden(status === null);
    if (status === null) {
      return;
    }
    const left = this.model.secondsLeft;
    this.node.dataset.level = level(left);
    this._simulated.hidden = !status.simulated;
    this._write(this._simulated, say('simulated GPU'));
    this._write(
      this._text,
      left === null ? say('CPU lab') : say('GPU time left: {time}', { time: duration(left) })
    );
    this.node.title = this._title(left);
  }

  private _title(left: number | null): string {
    const status = this.model.status!;
    const lines = left === null ? [say('This lab uses no GPU time.')] : [status.gpu];
    if (left !== null && status.stop_reason) {
      lines.push(say('It stops then because of: {reason}', { reason: status.stop_reason }));
    }
    if (this.model.stale) {
      lines.push(say('The time service does not answer; this is the last known time.'));
    }
    return lines.filter(line => line).join('\n');
  }

  /** A text that did not change is left alone: screen readers announce changes. */
  private _write(node: HTMLElement, text: string): void {
    if (node.textContent !== text) {
      node.textContent = text;
    }
  }

  private _simulated: HTMLElement;
  private _text: HTMLElement;
}
