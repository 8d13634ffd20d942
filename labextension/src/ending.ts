// The end of GPU time: everything is saved before it, and the way on is offered.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';

import { StatusModel } from './model';
import { say } from './text';

const SAVE_AT_S = [60, 20, 5];
/** Stops sooner than this after the last answer count as the announced end. */
const NEAR_END_S = 15;

/** Save every open document that has changes. */
export async function saveAll(app: JupyterFrontEnd, documents: IDocumentManager): Promise<void> {
  const saves: Promise<void>[] = [];
  for (const widget of app.shell.widgets('main')) {
    const context = documents.contextForWidget(widget);
    if (context && context.model.dirty && !context.model.readOnly) {
      saves.push(context.save());
    }
  }
  await Promise.allSettled(saves);
}

export class Ending {
  constructor(
    private model: StatusModel,
    private save: () => Promise<void>,
    private home: () => void
  ) {
    model.changed.connect(this._look, this);
  }

  private _look(): void {
    const left = this.model.secondsLeft;
    if (left === null) {
      return;
    }
    for (const mark of SAVE_AT_S) {
      if (left <= mark && this._last > mark) {
        void this.save();
      }
    }
    this._last = left;
    const ended = left <= 0 || (this.model.stale && left <= NEAR_END_S);
    if (ended && !this._told) {
      this._told = true;
      void this._tell();
    } else if (left > NEAR_END_S) {
      this._told = false; // more time was granted
    }
  }

  private async _tell(): Promise<void> {
    await this.save();
    const answer = await showDialog({
      title: say('GPU time is over'),
      body: say(
        'Your files are saved. You can go on without a GPU on the same files: start the lab ' +
          'again from the page of your courses and choose “without a GPU”.'
      ),
      buttons: [
        Dialog.cancelButton({ label: say('Stay here') }),
        Dialog.okButton({ label: say('Continue without GPU') })
      ]
    });
    if (answer.button.accept) {
      this.home();
    }
  }

  private _last = Infinity;
  private _told = false;
}
