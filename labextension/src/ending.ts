// The end of GPU time: everything is saved before it, and the way on is one click.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { Dialog, showDialog } from '@jupyterlab/apputils';
import { PageConfig, URLExt } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { Widget } from '@lumino/widgets';

import { element } from './dom';
import { StatusModel } from './model';
import { say } from './text';

const SAVE_AT_S = [60, 20, 8, 4, 2];
/** Stops sooner than this after the last answer count as the announced end. */
const NEAR_END_S = 15;

type Context = NonNullable<ReturnType<IDocumentManager['contextForWidget']>>;

function unsaved(app: JupyterFrontEnd, documents: IDocumentManager): Context[] {
  const found: Context[] = [];
  for (const widget of app.shell.widgets('main')) {
    const context = documents.contextForWidget(widget);
    if (context && context.model.dirty && !context.model.readOnly) {
      found.push(context);
    }
  }
  return found;
}

/** Save every open document that has changes; names of those that could not be saved. */
export async function saveAll(
  app: JupyterFrontEnd,
  documents: IDocumentManager
): Promise<string[]> {
  await Promise.allSettled(unsaved(app, documents).map(context => context.save()));
  return unsaved(app, documents).map(context => context.path);
}

export class Ending {
  constructor(
    private model: StatusModel,
    private save: () => Promise<string[]>
  ) {
    model.changed.connect(this._look, this);
  }

  /** Before the end, when the person wants it. */
  async continueWithoutGpu(): Promise<void> {
    const answer = await showDialog({
      title: say('Continue without GPU'),
      body: say(
        'Your files are saved and the lab starts again without a GPU. ' +
          'What is only in memory has to be computed again.'
      ),
      buttons: [
        Dialog.cancelButton({ label: say('Stay here') }),
        Dialog.okButton({ label: say('Continue without GPU') })
      ]
    });
    if (answer.button.accept) {
      await this.save();
      this._goOn();
    }
  }

  private _look(): void {
    const left = this.model.secondsLeft;
    if (left === null) {
      this._begin();
      return;
    }
    for (const mark of SAVE_AT_S) {
      if (left <= mark && this._last > mark) {
        void this.save();
      }
    }
    this._last = left;
    if (left <= 0 || this.model.stale) {
      this.tellIfOver();
    }
    if (left > NEAR_END_S) {
      this._begin(); // more time was granted
    }
  }

  /** A lab with time before it: there is no end to tell of. */
  private _begin(): void {
    this._told = false;
    this._dialog?.reject();
  }

  /** The lab does not answer: tell the person once when that is the end that was announced. */
  tellIfOver(): boolean {
    const left = this.model.secondsLeft;
    const over = left !== null && left <= NEAR_END_S;
    if (over && !this._told) {
      this._told = true;
      void this._tell();
    }
    return over;
  }

  private async _tell(): Promise<void> {
    const why = this.model.status?.stop_reason;
    const lost = await this.save();
    const files = lost.length
      ? say(
          'Your last changes to {files} came too late to be saved. Copy them before you go on ' +
            'without a GPU; everything else is saved.',
          { files: lost.join(', ') }
        )
      : say('Your files are saved. You can go on without a GPU on the same files.');
    const body = new Widget();
    body.node.append(...(why ? [element('p', say('Reason: {reason}', { reason: why }))] : []));
    body.node.append(element('p', files));
    const dialog = new Dialog({
      title: say('GPU time is over'),
      body,
      buttons: [
        Dialog.cancelButton({ label: say('Stay here') }),
        Dialog.okButton({ label: say('Continue without GPU') })
      ]
    });
    this._dialog = dialog;
    const answer = await dialog.launch();
    this._dialog = null;
    if (answer.button.accept) {
      this._goOn();
    }
  }

  /** A page of the platform starts the lab again; it comes back here by itself. */
  private _goOn(): void {
    const { course, lab, cohort } = this.model.status!;
    const host = PageConfig.getOption('hubHost');
    const wanted = URLExt.objectToQueryString({ course, lab, cohort });
    window.location.assign(`${host}/services/usage/continue${wanted}`);
  }

  private _dialog: Dialog<unknown> | null = null;
  private _last = Infinity;
  private _told = false;
}
