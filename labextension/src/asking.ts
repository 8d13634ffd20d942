// Asking the instructors for more GPU time.
import { Dialog, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { askForMore, Refused } from './api';
import { say } from './text';

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
