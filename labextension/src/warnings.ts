// Warnings: each is shown once, stays until it is dismissed, and takes no focus from the notebook.
import { Dialog, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { askForMore, ILabWarning, markSeen, Refused } from './api';
import { StatusModel } from './model';
import { say } from './text';

/** usage.classroom.announcements.PREFIX */
const ANNOUNCEMENT = 'announcement';
const LONGEST_NOTIFICATION = 140;

export class Warnings {
  constructor(
    private model: StatusModel,
    private save: () => Promise<void>
  ) {
    model.changed.connect(this._look, this);
  }

  private _look(): void {
    for (const warning of this.model.status?.warnings ?? []) {
      if (!this._shown.has(warning.id)) {
        this._shown.add(warning.id);
        void this._show(warning);
      }
    }
  }

  private async _show(warning: ILabWarning): Promise<void> {
    if (warning.reason === ANNOUNCEMENT) {
      announce(warning.message);
    } else {
      this._warn(warning);
    }
    try {
      await markSeen(warning.id);
    } catch {
      // Shown all the same; the next answer of the service still lists it, and it is not repeated.
    }
  }

  private _warn(warning: ILabWarning): void {
    Notification.emit(
      warning.message,
      warning.seconds_left > 120 ? 'warning' : 'error',
      {
        autoClose: false,
        actions: [
          { label: say('Ask for more'), callback: () => void askDialog(), displayType: 'accent' }
        ]
      }
    );
    void this.save();
  }

  private _shown = new Set<string>();
}

/** What an instructor tells everybody. JupyterLab cuts long notifications: the rest is a click away. */
function announce(message: string): void {
  const long = message.length > LONGEST_NOTIFICATION;
  const all = (): void =>
    void showDialog({
      title: say('Announcement'),
      body: message,
      buttons: [Dialog.okButton({ label: say('OK') })]
    });
  Notification.emit(long ? `${message.slice(0, LONGEST_NOTIFICATION - 1)}…` : message, 'info', {
    autoClose: false,
    actions: long ? [{ label: say('Read all'), callback: all }] : []
  });
}

class AskForm extends Widget implements Dialog.IBodyWidget<{ minutes: number; note: string }> {
  constructor() {
    super();
    this.addClass('dli-Form');
    this._minutes = document.createElement('input');
    this._minutes.type = 'number';
    this._minutes.min = '5';
    this._minutes.max = '600';
    this._minutes.value = '30';
    this._note = document.createElement('textarea');
    this._note.maxLength = 1000;
    this._note.rows = 3;
    this.node.append(
      labelled(say('Minutes'), this._minutes),
      labelled(say('What you need them for'), this._note)
    );
  }

  getValue(): { minutes: number; note: string } {
    return { minutes: Math.round(Number(this._minutes.value)), note: this._note.value };
  }

  private _minutes: HTMLInputElement;
  private _note: HTMLTextAreaElement;
}

/** Ask the instructors for more GPU time. */
export async function askDialog(): Promise<void> {
  const answer = await showDialog({
    title: say('Ask for more GPU time'),
    body: new AskForm(),
    buttons: [
      Dialog.cancelButton({ label: say('Cancel') }),
      Dialog.okButton({ label: say('Ask') })
    ]
  });
  if (!answer.button.accept || !answer.value) {
    return;
  }
  try {
    await askForMore(answer.value.minutes, answer.value.note);
    Notification.success(say('Your instructors have your request.'), { autoClose: 5000 });
  } catch (error) {
    const known = error instanceof Refused;
    await showErrorMessage(
      say('Ask for more GPU time'),
      known ? (error as Error).message : say('That did not work. Please try again.'),
      [Dialog.okButton({ label: say('OK') })]
    );
  }
}

function labelled(text: string, field: HTMLElement): HTMLLabelElement {
  const label = document.createElement('label');
  label.append(text, field);
  return label;
}
