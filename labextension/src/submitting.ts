// Submitting the lab's assignment, and the receipt.
import { Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { IReceipt, ISubmitAnswer, submit } from './api';
import { currentLanguage, say } from './text';

/** Ask, save, hand in, show the receipt or the reason. */
export async function submitDialog(assignment: string, save: () => Promise<void>): Promise<void> {
  const answer = await showDialog({
    title: say('Submit {assignment}', { assignment }),
    body: say('Your files are saved and handed in as they are now. You can submit again later.'),
    buttons: [
      Dialog.cancelButton({ label: say('Cancel') }),
      Dialog.okButton({ label: say('Submit') })
    ]
  });
  if (!answer.button.accept) {
    return;
  }
  await save();
  const result = await handIn();
  if (result.receipt) {
    await showDialog({
      title: say('Submitted'),
      body: receiptTable(result.receipt),
      buttons: [Dialog.okButton({ label: say('OK') })]
    });
  } else {
    await showErrorMessage(say('Not submitted'), result.error ?? '', [
      Dialog.okButton({ label: say('OK') })
    ]);
  }
}

async function handIn(): Promise<ISubmitAnswer> {
  try {
    return await submit();
  } catch {
    return { error: say('That did not work. Please try again.') };
  }
}

function receiptTable(receipt: IReceipt): Widget {
  const widget = new Widget();
  const table = document.createElement('table');
  table.className = 'dli-Receipt';
  const when = new Date(receipt.received_at).toLocaleString(currentLanguage(), {
    dateStyle: 'medium',
    timeStyle: 'long'
  });
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
