// The lab cannot be reached: one dialog, and the right one. JupyterLab's own would offer to start the
// server again, and would hide why it ended.
import { IConnectionLost } from '@jupyterlab/application';
import { Dialog, Notification } from '@jupyterlab/apputils';

import { askWhetherThere, There } from './api';
import { say } from './text';

/** So often the lab is looked for, a second apart, before anybody is told. */
const LOOKS = 6;

export interface IKnows {
  /** Tell the person, when GPU time is over; false when the lab was lost for another reason. */
  tellIfOver: () => boolean;
  goHome: () => void;
}

export class Lost {
  /** Called by JupyterLab for each call that did not reach the lab. */
  readonly answer: IConnectionLost = async () => {
    if (this._known || this._knows?.tellIfOver()) {
      return; // once for each time that it was lost
    }
    this._known = true;
    const there = await look();
    if (there === 'here') {
      this._known = false; // it was a moment's trouble
    } else if (this._known) {
      await this._tell(there);
    }
  };

  /** Set once the platform's parts are there. */
  learn(knows: IKnows): void {
    this._knows = knows;
  }

  /** The lab answers again, so that what is on the page goes on. */
  found(): void {
    this._known = false;
    if (this._dialog) {
      this._dialog.reject();
      Notification.info(say('Your lab runs again. What was in memory has to be computed again.'), {
        autoClose: 15000
      });
    }
  }

  private async _tell(there: There): Promise<void> {
    const stopped = there === 'stopped';
    const dialog = new Dialog({
      title: stopped ? say('Your lab was stopped') : say('Your lab does not answer'),
      body: stopped
        ? say(
            'It was stopped by you, by your instructor, or because its time was over. Saved files ' +
              'are kept. What is open stays here; when the lab runs again, this page goes on.'
          )
        : say(
            'The connection may be gone. What is open stays here; ' +
              'when the lab answers again, this page goes on.'
          ),
      buttons: [
        Dialog.cancelButton({ label: say('Stay here') }),
        Dialog.okButton({ label: say('My courses') })
      ]
    });
    this._dialog = dialog;
    const answer = await dialog.launch();
    this._dialog = null;
    if (answer.button.accept) {
      this._knows?.goHome();
    }
  }

  private _dialog: Dialog<unknown> | null = null;
  private _known = false;
  private _knows: IKnows | null = null;
}

/** Where the lab is; looks again while that is not sure. */
async function look(): Promise<There> {
  let there = await askWhetherThere();
  for (let tries = 1; tries < LOOKS && there === 'away'; tries++) {
    await new Promise(go => setTimeout(go, 1000));
    there = await askWhetherThere();
  }
  return there;
}
