// The platform inside JupyterLab: time left, warnings, the end of GPU time, submission.
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ILauncher } from '@jupyterlab/launcher';
import { IMainMenu } from '@jupyterlab/mainmenu';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator } from '@jupyterlab/translation';
import { Menu } from '@lumino/widgets';

import { Ending, saveAll } from './ending';
import { StatusModel } from './model';
import { StatusItem } from './statusbar';
import { submitDialog } from './submitting';
import { say, useLanguage } from './text';
import { askDialog, Warnings } from './warnings';

const HOME = 'dli-lab:home';
const SUBMIT = 'dli-lab:submit';
const ASSIGNMENTS = 'dli-lab:assignments';
const MORE = 'dli-lab:ask-for-more';
const NBGRADER_LIST = 'nbgrader:open-assignment-list';

function goHome(): void {
  const host = PageConfig.getOption('hubHost');
  window.open(`${host}/services/usage/`, '_blank', 'noopener');
}

function addCommands(
  app: JupyterFrontEnd,
  model: StatusModel,
  save: () => Promise<void>
): void {
  const { commands } = app;
  commands.addCommand(HOME, { label: () => say('My courses'), execute: goHome });
  commands.addCommand(ASSIGNMENTS, {
    label: () => say('Assignments'),
    isVisible: () => commands.hasCommand(NBGRADER_LIST),
    execute: () => commands.execute(NBGRADER_LIST)
  });
  commands.addCommand(SUBMIT, {
    label: () => say('Submit the assignment …'),
    isEnabled: () => Boolean(model.status?.assignment),
    execute: () => submitDialog(model.status?.assignment ?? '', save)
  });
  commands.addCommand(MORE, {
    label: () => say('Ask for more GPU time …'),
    isEnabled: () => (model.status?.seconds_left ?? null) !== null,
    execute: () => askDialog()
  });
  // isEnabled depends on the first answer of the service.
  model.changed.connect(() => {
    if (!announced && model.status) {
      announced = true;
      commands.notifyCommandChanged();
    }
  });
}

let announced = false;

function addPlaces(
  app: JupyterFrontEnd,
  menus: IMainMenu | null,
  palette: ICommandPalette | null,
  launcher: ILauncher | null
): void {
  const all = [HOME, ASSIGNMENTS, SUBMIT, MORE];
  if (menus) {
    const menu = new Menu({ commands: app.commands });
    menu.id = 'dli-lab-menu';
    menu.title.label = say('Course');
    all.forEach(command => menu.addItem({ command }));
    menus.addMenu(menu, true, { rank: 90 });
  }
  all.forEach(command => palette?.addItem({ command, category: say('Course') }));
  [ASSIGNMENTS, SUBMIT, HOME].forEach((command, rank) =>
    launcher?.add({ command, category: say('Course'), rank })
  );
}

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'dli-lab:plugin',
  description: 'GPU time left, warnings and submission.',
  autoStart: true,
  requires: [IDocumentManager, ITranslator],
  optional: [IStatusBar, IMainMenu, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    documents: IDocumentManager,
    translator: ITranslator,
    statusBar: IStatusBar | null,
    menus: IMainMenu | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    useLanguage(translator.languageCode);
    const model = new StatusModel();
    const save = (): Promise<void> => saveAll(app, documents);
    addCommands(app, model, save);
    addPlaces(app, menus, palette, launcher);
    statusBar?.registerStatusItem('dli-lab:time', {
      item: new StatusItem(model),
      align: 'left',
      rank: 0
    });
    new Warnings(model, save);
    new Ending(model, save, goHome);
    model.start();
  }
};

export default plugin;
