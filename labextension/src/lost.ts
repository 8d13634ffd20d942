// The lab cannot be reached: one dialog, and the right one. JupyterLab's own would offer to start the
// server again, and would hide why it ended.
import { IConnectionLost } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';

import { say } from './text';

export interface IKnows {
  /** Tell the person, when GPU time is over; false when the lab was lost for another reason. */
  tellIfOver: () => boolean;
  /** When the lab last answered, by `performance.now()`. */
  answeredAt: () => number;
  goHome: () => void;
}

export class Lost {
  /** Called by JupyterLab for each call that did not reach the lab. */
  readonly answer: IConnectionLost = async () => {
    const told = this._toldAt >= (this._knows?.answeredAt() ?? 0);
    if (this._open || told || this._knows?.tellIfOver()) {
      return; // once for each time that it was lost
    }
    this._open = true;
    this._toldAt = performance.now();
    const answer = await showDialog({
      title: say('Your lab does not answer'),
      body: say(
        'It was stopped, or it cannot be reached. What is open stays here for you to copy. ' +
          'When the lab runs again, this page goes on.'
      ),
      buttons: [
        Dialog.cancelButton({ label: say('Stay here') }),
        Dialog.okButton({ label: say('My courses') })
      ]
    });
    this._open = false;
    if (answer.button.accept) {
      this._knows?.goHome();
    }
  };

  /** Set once the platform's parts are there. */
  learn(knows: IKnows): void {
    this._knows = knows;
  }

  private _knows: IKnows | null = null;
  private _open = false;
  private _toldAt = -1;
}
