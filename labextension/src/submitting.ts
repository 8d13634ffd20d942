// Submitting an assignment, and the receipt.
import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { act, IReceipt } from './api';
import { currentLanguage, say } from './text';

/** Ask, save, hand in, show the receipt or the reason; whether it was handed in. */
export async function submitDialog(
  course: string,
  assignment: string,
  title: string,
  save: () => Promise<unknown>
): Promise<boolean> {
  const answer = await showDialog({
    title: say('Submit {assignment}', { assignment: title }),
    body: say('Your files are saved and handed in as they are now. You can submit again later.'),
    buttons: [
      Dialog.cancelButton({ label: say('Cancel') }),
      Dialog.okButton({ label: say('Submit') })
    ]
  });
  if (!answer.button.accept) {
    return false;
  }
  await save();
  const result = await act(course, assignment, 'submit');
  if (!result.receipt) {
    await showErrorMessage(say('Not submitted'), result.error ?? '', [
      Dialog.okButton({ label: say('OK') })
    ]);
    return false;
  }
  await showDialog({
    title: say('Submitted'),
    body: receiptTable(result.receipt),
    buttons: [Dialog.okButton({ label: say('OK') })]
  });
  return true;
}

/** A moment in the reader's words and time zone. */
export function moment(iso: string, withZone = true): string {
  return new Date(iso).toLocaleString(currentLanguage(), {
    dateStyle: 'medium',
    timeStyle: withZone ? 'long' : 'short'
  });
}

function receiptTable(receipt: IReceipt): Widget {
  const widget = new Widget();
  const table = document.createElement('table');
  table.className = 'dli-Receipt';
  const when = moment(receipt.received_at);
  const rows: [string, string][] = [
    [say('Assignment'), receipt.assignment],
    [say('Attempt'), String(receipt.attempt)],
    [say('Received'), receipt.late ? say('{time} (late)', { time: when }) : when],
    [say('Receipt'), receipt.id],
    [say('Size'), say('{bytes} bytes', { bytes: receipt.size })],
    ['SHA-256', receipt.sha256]
  ];
  for (const [name, value] of rows) {
    const row = table.insertRow();
    const head = document.createElement('th');
    head.textContent = name;
    row.append(head);
    row.insertCell().textContent = value;
  }
  widget.node.append(table);
  return widget;
}
