// The assignments side panel. Loaded when it is first shown.
import { Dialog, showDialog } from '@jupyterlab/apputils';

import {
  act,
  Action,
  feedbackAddress,
  getAssignments,
  IAnswer,
  IAssignment,
  ISubmission,
  IValidated
} from './api';
import { button, element } from './dom';
import { moment, submitDialog } from './submitting';
import { say } from './text';

export interface IPanelActions {
  /** Save all documents. */
  save: () => Promise<unknown>;
  /** Open a file or folder below the home. */
  open: (path: string) => void;
  /** Close the documents of a folder: its files are about to be replaced. */
  close: (folder: string) => Promise<void>;
}

export class Panel {
  constructor(
    private node: HTMLElement,
    private actions: IPanelActions
  ) {
    const head = element('div', '', 'dli-Panel-head');
    head.append(
      element('h2', say('Assignments')),
      button(say('Refresh'), () => void this.refresh())
    );
    this._said.setAttribute('role', 'status');
    this.node.append(head, this._said, this._list);
    void this.refresh();
  }

  /** Ask again what there is. */
  async refresh(): Promise<void> {
    let answer: IAnswer;
    try {
      answer = await getAssignments();
    } catch {
      answer = { error: say('That did not work. Please try again.') };
    }
    this._say(answer.error ?? '');
    if (!answer.assignments) {
      return;
    }
    const focused = this._list.contains(document.activeElement)
      ? (document.activeElement as HTMLElement).dataset.key
      : undefined;
    this._list.replaceChildren(...answer.assignments.map(one => this._section(one)));
    if (!answer.assignments.length) {
      this._list.append(element('p', say('This course has no open assignment.')));
    }
    if (focused) {
      this._list.querySelector<HTMLElement>(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  private _section(item: IAssignment): HTMLElement {
    const section = element('section', '', 'dli-Assignment');
    const title = element('h3', item.title);
    title.id = `dli-assignment-${item.course}-${item.assignment}`;
    section.setAttribute('aria-labelledby', title.id);
    section.append(title, this._facts(item), this._buttons(item));
    const checked = this._checked.get(this._key(item));
    if (checked) {
      section.append(this._results(checked));
    }
    if (item.submissions.length) {
      section.append(this._versions(item));
    }
    return section;
  }

  private _facts(item: IAssignment): HTMLElement {
    const list = element('ul', '', 'dli-Facts');
    const fact = (text: string): void => void list.append(element('li', text));
    const due = item.due;
    fact(due ? say('Due: {when}', { when: moment(due) }) : say('No due date'));
    if (due && Date.parse(due) < Date.now() && item.close) {
      fact(say('Late work is taken until {when}', { when: moment(item.close) }));
    }
    const used = item.submissions.length;
    fact(
      item.attempts === null
        ? say('Submitted so far: {count}', { count: used })
        : say('Attempts left: {left} of {most}', {
            left: Math.max(0, item.attempts - used),
            most: item.attempts
          })
    );
    return list;
  }

  private _buttons(item: IAssignment): HTMLElement {
    const row = element('div', '', 'dli-Buttons');
    const add = (text: string, name: string, press: () => void, kind = ''): HTMLButtonElement => {
      const made = button(text, press, kind);
      made.dataset.key = `${this._key(item)}/${name}`;
      made.setAttribute('aria-label', `${text}: ${item.title}`);
      row.append(made);
      return made;
    };
    if (!item.folder) {
      add(say('Fetch'), 'fetch', () => void this._do(item, 'fetch', say('Fetching …')), 'dli-Main');
      return row;
    }
    const notebook = item.notebooks[0] ? `/${item.notebooks[0]}.ipynb` : '';
    add(say('Open'), 'open', () => this.actions.open(item.folder + notebook));
    add(say('Validate'), 'validate', () => void this._validate(item));
    const submit = add(say('Submit'), 'submit', () => void this._submit(item), 'dli-Main');
    submit.disabled = item.attempts !== null && item.submissions.length >= item.attempts;
    return row;
  }

  private _results(notebooks: IValidated[]): HTMLElement {
    const place = element('div', '', 'dli-Results');
    for (const one of notebooks) {
      const words = one.passed
        ? say('{name}: the visible tests pass.', { name: one.name })
        : say('{name}: {count} cells need work.', {
            name: one.name,
            count: one.failed.length + one.changed.length
          });
      const line = element('p', words);
      line.dataset.passed = String(one.passed);
      place.append(line);
      for (const cell of one.failed) {
        place.append(details(firstLine(cell.source), `${cell.source}\n\n${cell.error}`));
      }
      for (const source of one.changed) {
        place.append(details(say('This test cell was changed'), source));
      }
    }
    return place;
  }

  private _versions(item: IAssignment): HTMLElement {
    const place = element('details', '', 'dli-Versions');
    place.open = true;
    place.append(element('summary', say('Submitted versions')));
    const list = element('ol');
    list.reversed = true;
    for (const one of [...item.submissions].reverse()) {
      list.append(this._version(item, one));
    }
    place.append(list);
    return place;
  }

  private _version(item: IAssignment, one: ISubmission): HTMLElement {
    const entry = element('li');
    entry.value = one.attempt;
    const when = moment(one.received_at);
    const received = one.late ? say('{time} (late)', { time: when }) : when;
    entry.append(element('div', received), element('code', one.id));
    if (one.score) {
      const { score, max_score: most } = one.score;
      entry.append(element('div', say('Score: {score} of {most}', { score, most }), 'dli-Score'));
    }
    const row = element('div', '', 'dli-Buttons');
    for (const notebook of Object.keys(one.feedback)) {
      const link = element('a', say('Feedback: {name}', { name: notebook }));
      link.href = feedbackAddress(one.id, notebook);
      link.target = '_blank';
      link.rel = 'noopener';
      row.append(link);
    }
    const restore = button(say('Restore'), () => void this._restore(item, one));
    restore.setAttribute('aria-label', say('Restore attempt {number}', { number: one.attempt }));
    restore.dataset.key = `${one.id}/restore`;
    row.append(restore);
    entry.append(row);
    return entry;
  }

  private async _validate(item: IAssignment): Promise<void> {
    await this.actions.save();
    const answer = await this._do(item, 'validate', say('Running the visible tests …'));
    if (answer.notebooks) {
      this._checked.set(this._key(item), answer.notebooks);
      const passed = answer.notebooks.every(one => one.passed);
      await this.refresh();
      this._say(passed ? say('All visible tests pass.') : say('Some visible tests fail.'));
    }
  }

  private async _submit(item: IAssignment): Promise<void> {
    if (await submitDialog(item.course, item.assignment, item.title, this.actions.save)) {
      await this.refresh();
      this._say(say('Submitted'));
    }
  }

  private async _restore(item: IAssignment, one: ISubmission): Promise<void> {
    const asked = await showDialog({
      title: say('Restore attempt {number}', { number: one.attempt }),
      body: say(
        'The files of this attempt come back into the folder. What is in it now is kept in a ' +
          'folder beside it. Open documents of the folder are closed.'
      ),
      buttons: [
        Dialog.cancelButton({ label: say('Cancel') }),
        Dialog.okButton({ label: say('Restore') })
      ]
    });
    if (!asked.button.accept) {
      return;
    }
    await this.actions.save();
    await this.actions.close(`${item.course}/${item.assignment}`);
    const answer = await this._do(item, 'restore', say('Restoring …'), { submission: one.id });
    if (answer.folder) {
      this._say(
        answer.kept
          ? say('Restored. Your files from before are in {folder}.', { folder: answer.kept })
          : say('Restored.')
      );
    }
  }

  /** One action: busy words while it runs, then the list anew; what went wrong stays to be read. */
  private async _do(
    item: IAssignment,
    action: Action,
    busy: string,
    body?: unknown
  ): Promise<IAnswer> {
    this._say(busy);
    this.node.setAttribute('aria-busy', 'true');
    const answer = await act(item.course, item.assignment, action, body);
    this.node.removeAttribute('aria-busy');
    await this.refresh();
    this._say(answer.error ?? '', Boolean(answer.error));
    return answer;
  }

  private _say(text: string, wrong = false): void {
    this._said.textContent = text;
    this._said.dataset.wrong = String(wrong);
  }

  private _key(item: IAssignment): string {
    return `${item.course}/${item.assignment}`;
  }

  private _checked = new Map<string, IValidated[]>();
  private _list = element('div');
  private _said = element('p', '', 'dli-Said');
}

function details(summary: string, text: string): HTMLElement {
  const made = element('details');
  const content = element('pre', text);
  content.tabIndex = 0;
  made.append(element('summary', summary), content);
  return made;
}

function firstLine(source: string): string {
  return source.split('\n').find(line => line.trim() && !line.startsWith('#')) ?? source;
}
