// The place of the assignments panel. Its content is loaded when somebody first looks.
import { JupyterFrontEnd } from '@jupyterlab/application';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import type { Panel } from './panel';
import { say } from './text';

export const assignmentsIcon = new LabIcon({
  name: 'dli-lab:assignments',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24" viewBox="0 0 24 24">' +
    '<path class="jp-icon3 jp-icon-selectable" fill="#616161" d="M18 3h-3.2a3 3 0 0 0-5.6 0H6a2 2 ' +
    '0 0 0-2 2v14a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2V5a2 2 0 0 0-2-2Zm-6 0a1 1 0 1 1 0 2 1 1 0 0 1 0-2' +
    'Zm-1.5 14.2-4-4 1.4-1.4 2.6 2.6 5.6-5.6 1.4 1.4-7 7Z"/></svg>'
});

export class AssignmentsPanel extends Widget {
  constructor(
    private app: JupyterFrontEnd,
    private documents: IDocumentManager,
    private save: () => Promise<unknown>
  ) {
    super();
    this.id = 'dli-lab-assignments';
    this.addClass('dli-Panel');
    this.title.icon = assignmentsIcon;
    this.title.caption = say('Assignments');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', say('Assignments'));
    this.node.tabIndex = -1;
  }

  /** Ask again what there is, if anybody has looked yet. */
  async refresh(): Promise<void> {
    await this._panel?.refresh();
  }

  protected onBeforeShow(): void {
    if (this._loading) {
      void this.refresh();
      return;
    }
    this._loading = import('./panel').then(({ Panel }) => {
      this._panel = new Panel(this.node, {
        save: this.save,
        open: path => void this.app.commands.execute('filebrowser:open-path', { path }),
        close: folder => this._close(folder)
      });
    });
  }

  protected onActivateRequest(): void {
    (this.node.querySelector('button') ?? this.node).focus();
  }

  private async _close(folder: string): Promise<void> {
    for (const widget of [...this.app.shell.widgets('main')]) {
      const context = this.documents.contextForWidget(widget);
      if (context?.path.startsWith(`${folder}/`)) {
        await this.documents.closeFile(context.path);
      }
    }
  }

  private _loading: Promise<void> | null = null;
  private _panel: Panel | null = null;
}
