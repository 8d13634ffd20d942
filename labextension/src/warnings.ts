// Warnings and announcements: a banner across the top that stays until it is closed, takes no focus
// and covers nothing, so that nobody misses it and nobody is kept from typing.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Widget } from '@lumino/widgets';

import { ILabWarning, markSeen } from './api';
import { button } from './dom';
import { StatusModel } from './model';
import { say } from './text';

/** usage.classroom.announcements.PREFIX */
const ANNOUNCEMENT = 'announcement';
/** The last minutes are said louder. */
const URGENT_S = 120;

export interface IActions {
  save: () => Promise<void>;
  askForMore: () => Promise<void>;
  continueWithoutGpu: () => Promise<void>;
}

export class Warnings extends Widget {
  constructor(
    private app: JupyterFrontEnd,
    private model: StatusModel,
    private actions: IActions
  ) {
    super();
    this.id = 'dli-lab-warnings';
    this.addClass('dli-Warnings');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', say('Warnings'));
    model.changed.connect(this._look, this);
    new ResizeObserver(() => this._fit()).observe(this._rows);
    this.node.append(this._rows);
  }

  /** Put the keyboard on the first button, where the focus goes only when it is asked to. */
  focusFirst(): void {
    this._rows.querySelector('button')?.focus();
  }

  private _look(): void {
    const open = (this.model.status?.warnings ?? []).filter(one => !this._closed.has(one.id));
    for (const one of open.filter(one => one.reason === ANNOUNCEMENT)) {
      if (!this._told.has(one.id)) {
        this._told.set(one.id, one);
        seen(one.id); // counted for the instructor; it stays here until it is closed
      }
    }
    const told = [...this._told.values()].filter(one => !this._closed.has(one.id));
    const over = this.model.secondsLeft === 0;
    const timed = over ? [] : open.filter(one => one.reason !== ANNOUNCEMENT);
    // The newest warning says all that the earlier ones said.
    const shown = [...timed.slice(0, 1), ...told];
    for (const id of [...this._shown.keys()]) {
      if (!shown.some(one => one.id === id)) {
        this._shown.get(id)!.remove();
        this._shown.delete(id);
      }
    }
    shown.forEach(one => this._show(one, timed));
    this._place(shown.length > 0);
  }

  private _show(warning: ILabWarning, timed: ILabWarning[]): void {
    const row = this._shown.get(warning.id);
    const announced = warning.reason === ANNOUNCEMENT;
    if (row) {
      // Time goes on, but a screen reader is told once.
      row.querySelector('p')!.textContent = warning.message;
      row.dataset.level = announced ? 'told' : this._level();
      return;
    }
    const fresh = document.createElement('div');
    fresh.className = 'dli-Warning';
    fresh.dataset.level = announced ? 'told' : this._level();
    const words = document.createElement('p');
    words.textContent = warning.message;
    const buttons = document.createElement('div');
    if (!announced) {
      buttons.append(
        button(say('Ask for more'), () => void this.actions.askForMore()),
        button(say('Continue without GPU'), () => void this.actions.continueWithoutGpu())
      );
      void this.actions.save();
    }
    const closes = announced ? [warning] : timed;
    buttons.append(button(say('Close'), () => this._close(closes)));
    fresh.append(words, buttons);
    const alarm = document.createElement('span');
    alarm.className = 'dli-Spoken';
    alarm.setAttribute('role', 'alert');
    fresh.append(alarm);
    this._rows.append(fresh);
    alarm.textContent = warning.message;
    this._shown.set(warning.id, fresh);
  }

  private _close(warnings: ILabWarning[]): void {
    for (const one of warnings) {
      this._closed.add(one.id);
      seen(one.id);
    }
    this._look();
  }

  private _level(): string {
    return (this.model.secondsLeft ?? Infinity) <= URGENT_S ? 'now' : 'soon';
  }

  private _place(wanted: boolean): void {
    if (wanted && !this.isAttached) {
      this.app.shell.add(this, 'header');
    }
    this.setHidden(!wanted);
    this._fit();
  }

  /** The header gives a widget what it asks for and no more. */
  private _fit(): void {
    const height = `${this._rows.offsetHeight}px`;
    if (this.node.style.minHeight !== height) {
      this.node.style.minHeight = height;
      this.parent?.fit();
    }
  }

  private _closed = new Set<string>();
  private _rows = document.createElement('div');
  private _shown = new Map<string, HTMLElement>();
  private _told = new Map<string, ILabWarning>();
}

/** Not recorded: it is closed here all the same, and shown again when the page is opened anew. */
function seen(id: string): void {
  markSeen(id).catch(() => undefined);
}
